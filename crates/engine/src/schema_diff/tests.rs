use super::lines::difference;

#[test]
fn texts_are_compared_line_by_line() {
    for (from, to, expected) in [
        ("", "a\nb", "+a\n+b\n"),
        ("a\nb", "", "-a\n-b\n"),
        ("a\nb\nc", "a\nx\nc", " a\n-b\n+x\n c\n"),
        ("a\nb\nc\nd", "a\nc\nd\ne", " a\n-b\n c\n d\n+e\n"),
        ("a\na", "a", " a\n-a\n"),
        ("same", "same", " same\n"),
        // Another column at the end makes the one before it no other.
        ("(\n a\n);", "(\n a,\n b\n);", " (\n  a,\n+ b\n );\n"),
    ] {
        assert_eq!(difference(from, to), expected, "{from:?} {to:?}");
    }
}
