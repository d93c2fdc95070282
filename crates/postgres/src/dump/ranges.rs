//! Cutting a large table into ranges of blocks that can be read side by side.
//!
//! Ranges have a fixed number of blocks, not a share of the table, so that the same rows lie in the same range from one
//! backup to the next while a table grows.

/// Bytes of table and TOAST data that a range aims at, unless told otherwise.
pub const RANGE_BYTES: u64 = 64 << 20;
/// More ranges than this only make the manifest long.
const MAX_RANGES: u64 = 8192;

/// First block, and one past the last; the last range has no end, so rows in blocks added since are not missed.
pub type BlockRange = (u64, Option<u64>);

/// Cuts a table of `blocks` blocks whose table and TOAST data together take `bytes`; a single range means "do not split".
pub fn split(blocks: u64, bytes: u64, block_size: u64) -> Vec<BlockRange> {
    split_by(RANGE_BYTES, blocks, bytes, block_size)
}

/// As [`split`], into ranges of about `range_bytes`.
pub fn split_by(range_bytes: u64, blocks: u64, bytes: u64, block_size: u64) -> Vec<BlockRange> {
    let step = blocks_per_range(range_bytes, blocks, bytes, block_size);
    let count = blocks.div_ceil(step).max(1);
    (0..count)
        .map(|i| (i * step, (i + 1 < count).then_some((i + 1) * step)))
        .collect()
}

/// A power of two, so that it seldom changes and old boundaries stay boundaries when it does.
fn blocks_per_range(range_bytes: u64, blocks: u64, bytes: u64, block_size: u64) -> u64 {
    let bytes_per_block = (bytes / blocks.max(1)).max(block_size).max(1);
    let wanted = (range_bytes / bytes_per_block).max(1);
    let mut step = 1 << wanted.ilog2();
    while blocks.div_ceil(step) > MAX_RANGES {
        step *= 2;
    }
    step
}

/// The condition that selects a range's rows; `None` for a whole table.
pub fn condition(range: BlockRange) -> Option<String> {
    match range {
        (0, None) => None,
        (start, None) => Some(format!("ctid >= '({start},0)'::tid")),
        (0, Some(end)) => Some(format!("ctid < '({end},0)'::tid")),
        (start, Some(end)) => Some(format!(
            "ctid >= '({start},0)'::tid AND ctid < '({end},0)'::tid"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that ranges follow one another without a gap from block 0 to no end.
    fn check(blocks: u64, bytes: u64) -> usize {
        let ranges = split(blocks, bytes, 8192);
        let mut next = Some(0);
        for (start, end) in &ranges {
            assert_eq!(next, Some(*start), "{blocks} blocks");
            next = *end;
        }
        assert_eq!(next, None);
        ranges.len()
    }

    #[test]
    fn ranges_cover_everything() {
        assert_eq!(check(0, 0), 1);
        assert_eq!(check(1, 8192), 1);
        assert_eq!(check(8192, 8192 * 8192), 1);
        assert_eq!(check(8193, 8193 * 8192), 2);
        assert_eq!(check(262_144, 262_144 * 8192), 32);
        // 2 GiB of TOAST behind 256 blocks.
        assert_eq!(check(256, 2 << 30), 32);
        // 30 TiB
        assert!(check(4_000_000_000, 4_000_000_000 * 8192) <= 8192);
    }

    #[test]
    fn boundaries_stay_when_a_table_grows() {
        let small = split(20_000, 20_000 * 8192, 8192);
        let large = split(90_000, 90_000 * 8192, 8192);
        assert_eq!(small[..2], large[..2]);
    }

    #[test]
    fn a_whole_table_has_no_condition() {
        assert_eq!(condition((0, None)), None);
        assert_eq!(
            condition((8, Some(16))).unwrap(),
            "ctid >= '(8,0)'::tid AND ctid < '(16,0)'::tid"
        );
    }
}
