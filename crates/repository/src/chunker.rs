//! Cutting a stream into chunks where its content says so, so that a change moves only the cuts near it.
//!
//! FastCDC with normalised chunking: a rolling hash over the last 64 bytes, a harder condition before the aimed size than
//! after it. Bytes before the smallest size are not hashed at all. The table behind the hash is made from a secret of the
//! repository, so that chunk sizes do not tell which known files are stored.

use sha2::{Digest, Sha256};

pub(crate) const MIN_CHUNK: usize = 512 << 10;
pub(crate) const AVERAGE_CHUNK: usize = 1 << 20;
pub(crate) const MAX_CHUNK: usize = 4 << 20;

/// One bit more, and one bit less, than the 20 that the average asks for; taken from the high end, where the hash has
/// seen the most bytes.
const MASK_BEFORE: u64 = ((1 << 21) - 1) << 43;
const MASK_AFTER: u64 = ((1 << 19) - 1) << 45;

/// The secret table of one repository.
#[derive(Clone)]
pub(crate) struct Gear {
    table: Box<[u64; 256]>,
}

impl Gear {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let mut table = Box::new([0; 256]);
        for (i, entry) in table.iter_mut().enumerate() {
            let digest = Sha256::new()
                .chain_update(secret)
                .chain_update([i as u8])
                .finalize();
            *entry = u64::from_le_bytes(digest[..8].try_into().expect("a digest has 32 bytes"));
        }
        Self { table }
    }
}

impl std::fmt::Debug for Gear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gear(…)")
    }
}

/// Finds the cuts of one stream, fed in pieces of any size; where the pieces end makes no difference.
#[derive(Debug)]
pub(crate) struct Chunker {
    gear: Gear,
    /// Bytes of the present chunk that were seen.
    len: usize,
    hash: u64,
}

impl Chunker {
    pub(crate) fn new(gear: Gear) -> Self {
        Self {
            gear,
            len: 0,
            hash: 0,
        }
    }

    /// Forgets what it has seen, for another stream.
    pub(crate) fn restart(&mut self) {
        self.cut(0);
    }

    /// Looks for the end of the present chunk in `data`: the number of bytes that still belong to it, or `None` when all
    /// of `data` does and it goes on.
    pub(crate) fn next_cut(&mut self, data: &[u8]) -> Option<usize> {
        let mut at = MIN_CHUNK.saturating_sub(self.len).min(data.len());
        for (mask, end) in [(MASK_BEFORE, AVERAGE_CHUNK), (MASK_AFTER, MAX_CHUNK)] {
            let stop = end.saturating_sub(self.len).min(data.len());
            if at < stop {
                let (hash, found) = roll(&self.gear.table, self.hash, &data[at..stop], mask);
                self.hash = hash;
                if let Some(n) = found {
                    return Some(self.cut(at + n));
                }
                at = stop;
            }
        }
        if self.len + at >= MAX_CHUNK {
            return Some(self.cut(at));
        }
        self.len += data.len();
        None
    }

    fn cut(&mut self, at: usize) -> usize {
        self.len = 0;
        self.hash = 0;
        at
    }
}

/// Rolls the hash over `data`; the count of bytes up to and with the one that meets the condition.
fn roll(table: &[u64; 256], mut hash: u64, data: &[u8], mask: u64) -> (u64, Option<usize>) {
    for (i, byte) in data.iter().enumerate() {
        hash = (hash << 1).wrapping_add(table[*byte as usize]);
        if hash & mask == 0 {
            return (hash, Some(i + 1));
        }
    }
    (hash, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 1u64;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .take(len)
        .collect()
    }

    fn cuts(gear: &Gear, data: &[u8], piece: usize) -> Vec<usize> {
        let mut chunker = Chunker::new(gear.clone());
        let (mut lengths, mut len) = (Vec::new(), 0);
        for mut piece in data.chunks(piece) {
            while let Some(n) = chunker.next_cut(piece) {
                lengths.push(len + n);
                len = 0;
                piece = &piece[n..];
            }
            len += piece.len();
        }
        lengths.push(len);
        lengths
    }

    #[test]
    fn chunks_keep_their_limits_and_do_not_depend_on_how_the_stream_came() {
        let gear = Gear::new(&[7; 32]);
        let data = noise(40 << 20);
        let whole = cuts(&gear, &data, data.len());
        assert_eq!(whole, cuts(&gear, &data, 4096 - 1));
        assert_eq!(whole.iter().sum::<usize>(), data.len());
        let (last, rest) = whole.split_last().expect("at least one");
        assert!(rest.iter().all(|n| (MIN_CHUNK..=MAX_CHUNK).contains(n)) && *last <= MAX_CHUNK);
        let average = data.len() / whole.len();
        assert!((700_000..2_000_000).contains(&average), "{average}");
        assert_ne!(
            whole,
            cuts(&Gear::new(&[8; 32]), &data, data.len()),
            "another repository cuts elsewhere"
        );
        assert_eq!(
            cuts(&gear, &vec![0; 9 << 20], 1 << 20),
            [4 << 20, 4 << 20, 1 << 20]
        );
    }

    #[test]
    fn an_insertion_changes_only_the_chunks_near_it() {
        let gear = Gear::new(&[7; 32]);
        let data = noise(20 << 20);
        let mut changed = data.clone();
        changed.splice(1000..1000, [1, 2, 3]);
        let (a, b) = (cuts(&gear, &data, 1 << 20), cuts(&gear, &changed, 1 << 20));
        assert_eq!(a[a.len() - 5..], b[b.len() - 5..]);
    }
}
