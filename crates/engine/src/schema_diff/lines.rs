//! Line by line: the shortest way from one text to another.

/// Texts with more pairs of lines than this are shown as all removed and all added.
const MOST_PAIRS: usize = 4_000_000;

/// Every line of both texts after `-`, `+` or a space; lines that stayed are there once.
pub(super) fn difference(from: &str, to: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (from.lines().collect(), to.lines().collect());
    let mut out = String::new();
    let mut say = |mark: char, line: &str| {
        out.push(mark);
        out.push_str(line);
        out.push('\n');
    };
    // What both begin and end with needs no search.
    let head = (a.iter().zip(&b)).take_while(|(x, y)| same(x, y)).count();
    let rest = a.len().min(b.len()) - head;
    let tail = (a.iter().rev().zip(b.iter().rev()))
        .take(rest)
        .take_while(|(x, y)| same(x, y))
        .count();
    b[..head].iter().for_each(|line| say(' ', line));
    let (middle_a, middle_b) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    if middle_a.len().saturating_mul(middle_b.len()) > MOST_PAIRS {
        middle_a.iter().for_each(|line| say('-', line));
        middle_b.iter().for_each(|line| say('+', line));
    } else {
        walk(middle_a, middle_b, &mut say);
    }
    b[b.len() - tail..].iter().for_each(|line| say(' ', line));
    out
}

/// A column that is no longer the last one has a comma more, and is no other column for it.
fn same(a: &str, b: &str) -> bool {
    a.trim_end_matches(',') == b.trim_end_matches(',')
}

/// By the table of longest common ends: `common[i][j]` is that of `a[i..]` and `b[j..]`.
fn walk(a: &[&str], b: &[&str], say: &mut impl FnMut(char, &str)) {
    let width = b.len() + 1;
    let mut common = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = match same(a[i], b[j]) {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && same(a[i], b[j]) {
            say(' ', b[j]);
            (i, j) = (i + 1, j + 1);
        } else if i < a.len()
            && (j == b.len() || common[(i + 1) * width + j] >= common[i * width + j + 1])
        {
            say('-', a[i]);
            i += 1;
        } else {
            say('+', b[j]);
            j += 1;
        }
    }
}
