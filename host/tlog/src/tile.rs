//! A log as files for a static web server: <https://c2sp.org/tlog-tiles>.
//!
//! A tile has up to 256 consecutive hashes of one tree level. Every eighth level has tiles; the levels between are computed
//! from them. Terms are those of the sections “Merkle Tree” and “Log entries”. Nothing here reads or writes files: the caller
//! passes a function that returns a subtree's hash or a tile's bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{Hash, node_hash};

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Tree levels in a tile.
const HEIGHT: u32 = 8;
/// The maximum size of a log, as for the frontier, so that no arithmetic overflows.
const LONGEST_LOG: u64 = 1 << 63;

/// Why something published is malformed, or cannot be published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum TileError {
    /// The text is not the path of a tile in canonical form.
    #[error("`{0}` is not the path of a tile")]
    #[diagnostic(
        code(integrity::tile_path),
        help(
            "expected tile/LEVEL/INDEX or tile/entries/INDEX, with .p/WIDTH if partial (c2sp.org/tlog-tiles)"
        )
    )]
    Path(String),
    /// No log can have this tile.
    #[error("no log has a tile of level {level}, index {index} and width {width}")]
    #[diagnostic(
        code(integrity::tile_range),
        help("a tile has 1 to 256 hashes, and a log at most 2^63 entries")
    )]
    Range {
        /// The level of the tile.
        level: u8,
        /// The index of the tile at its level.
        index: u64,
        /// The number of hashes in the tile.
        width: u16,
    },
    /// Too few or too many bytes for a tile.
    #[error("{tile} has {found} bytes instead of {expected}")]
    #[diagnostic(
        code(integrity::tile_length),
        help("fetch it again; if it stays so, what the log publishes is damaged")
    )]
    Length {
        /// The tile that was read.
        tile: Tile,
        /// The number of bytes it must have.
        expected: usize,
        /// The number of bytes it has.
        found: usize,
    },
    /// The published tree does not have this subtree.
    #[error("the published log of {size} entries has no subtree {index} at level {level}")]
    #[diagnostic(
        code(integrity::tile_subtree),
        help("ask with the size of the checkpoint that the tiles were published for")
    )]
    NoSubtree {
        /// The level in the tree (not the level of tiles).
        level: u32,
        /// The index at that level.
        index: u64,
        /// The number of entries of the published log.
        size: u64,
    },
    /// The bytes are not valid entries.
    #[error("{bundle} is malformed: {reason}")]
    #[diagnostic(
        code(integrity::entry_bundle),
        help("fetch it again; if it stays so, what the log publishes is damaged")
    )]
    Bundle {
        /// The bundle that was read.
        bundle: Bundle,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A bundle cannot have this number of entries.
    #[error("a bundle has 1 to 256 entries, not {0}")]
    #[diagnostic(
        code(integrity::bundle_entries),
        help("publish the entries in the bundles of `bundles_between`")
    )]
    Entries(usize),
    /// An entry is longer than its 2-byte length field allows.
    #[error("an entry of {0} bytes cannot be published: the limit is 65,535")]
    #[diagnostic(
        code(integrity::entry_too_long),
        help("put a hash into the log, and keep the data elsewhere")
    )]
    TooLong(usize),
}

/// Up to 256 consecutive hashes of the tree level `8·level`, beginning with number `256·index`.
///
/// Its text is its path: `tile/LEVEL/INDEX`, then `.p/WIDTH` when it is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    level: u8,
    index: u64,
    width: u16,
}

impl Tile {
    /// A tile; an error if no log can have it.
    pub fn new(level: u8, index: u64, width: u16) -> Result<Self, TileError> {
        let height = HEIGHT * u32::from(level);
        let hashes = u128::from(index) * u128::from(TILE_WIDTH) + u128::from(width);
        if width == 0
            || width > TILE_WIDTH
            || height >= u64::BITS
            || hashes > u128::from(LONGEST_LOG >> height)
        {
            return Err(TileError::Range { level, index, width });
        }
        Ok(Self { level, index, width })
    }

    /// The tile that has the hashes for the subtree `index` of the tree level `level`, as it is
    /// published for a log of `size` entries.
    pub fn covering(level: u32, index: u64, size: u64) -> Result<Self, TileError> {
        let no = TileError::NoSubtree { level, index, size };
        if size > LONGEST_LOG || level >= u64::BITS || index >= size >> level {
            return Err(no);
        }
        let tile_level = level / HEIGHT;
        // The subtree is inside the tree, so its first hash is too.
        let index = (index << (level % HEIGHT)) / u64::from(TILE_WIDTH);
        let hashes = size >> (HEIGHT * tile_level);
        let level = u8::try_from(tile_level).map_err(|_| no)?;
        Ok(Self { level, index, width: width(hashes, index) })
    }

    /// Its level: its hashes are those of the tree level `8·level`.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// The index of the tile within its level.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many hashes it has: 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// Whether it is full (256 hashes) and so will never change.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The full tile with the same level and index. A log may delete a partial tile when it has the full one, whose bytes begin
    /// with those of the partial one (section “Partial Tiles”).
    #[must_use]
    pub fn full(self) -> Self {
        Self { width: TILE_WIDTH, ..self }
    }

    /// The bytes to publish, from a function that gives the hashes of complete subtrees: the one that
    /// [`inclusion_proof`](crate::inclusion_proof) takes.
    pub fn bytes<E>(&self, mut read: impl FnMut(u32, u64) -> Result<Hash, E>) -> Result<Vec<u8>, E> {
        let (level, first) = (HEIGHT * u32::from(self.level), self.index * u64::from(TILE_WIDTH));
        let mut out = Vec::with_capacity(self.length());
        for at in 0..u64::from(self.width) {
            out.extend_from_slice(&read(level, first + at)?);
        }
        Ok(out)
    }

    /// The hashes in published bytes. They are not trusted until a proof made from them leads to the root of a signed
    /// checkpoint.
    pub fn hashes<'a>(&self, bytes: &'a [u8]) -> Result<&'a [Hash], TileError> {
        match bytes.as_chunks::<32>() {
            (hashes, []) if hashes.len() == usize::from(self.width) => Ok(hashes),
            _ => Err(TileError::Length { tile: *self, expected: self.length(), found: bytes.len() }),
        }
    }

    fn length(&self) -> usize {
        usize::from(self.width) * size_of::<Hash>()
    }
}

/// Up to 256 consecutive entries, beginning with number `256·index`.
///
/// Its text is its path: `tile/entries/INDEX`, then `.p/WIDTH` when it is not full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bundle {
    index: u64,
    width: u16,
}

impl Bundle {
    /// A bundle; an error if no log can have it.
    pub fn new(index: u64, width: u16) -> Result<Self, TileError> {
        Tile::new(0, index, width).map(|Tile { index, width, .. }| Self { index, width })
    }

    /// The bundle that holds entry `index`, as it is published for a log of `size` entries.
    pub fn covering(index: u64, size: u64) -> Result<Self, TileError> {
        Tile::covering(0, index, size).map(|Tile { index, width, .. }| Self { index, width })
    }

    /// The index of the bundle.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// How many entries it has: 1 to 256.
    #[must_use]
    pub fn width(&self) -> u16 {
        self.width
    }

    /// The number in the log of its first entry.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.index * u64::from(TILE_WIDTH)
    }

    /// Whether it is full (256 entries) and so will never change.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// The tile of the hashes of its entries.
    #[must_use]
    pub fn tile(&self) -> Tile {
        Tile { level: 0, index: self.index, width: self.width }
    }

    /// The entries in published bytes: as many as the bundle is wide, and nothing after them.
    pub fn entries<'a>(&self, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, TileError> {
        let wrong = |reason| TileError::Bundle { bundle: *self, reason };
        let mut rest = bytes;
        let mut entries = Vec::with_capacity(usize::from(self.width));
        for _ in 0..self.width {
            let (length, after) = rest.split_first_chunk::<2>().ok_or(wrong("it has too few entries"))?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (entry, after) = after.split_at_checked(length).ok_or(wrong("an entry is cut off"))?;
            entries.push(entry);
            rest = after;
        }
        if rest.is_empty() { Ok(entries) } else { Err(wrong("something follows its last entry")) }
    }
}

/// The bytes of a bundle of these entries: before each its length, two bytes, big-endian.
pub fn bundle_bytes<T: AsRef<[u8]>>(entries: &[T]) -> Result<Vec<u8>, TileError> {
    if entries.is_empty() || entries.len() > usize::from(TILE_WIDTH) {
        return Err(TileError::Entries(entries.len()));
    }
    let mut out = Vec::new();
    for entry in entries.iter().map(AsRef::as_ref) {
        let length = u16::try_from(entry.len()).map_err(|_| TileError::TooLong(entry.len()))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(entry);
    }
    Ok(out)
}

/// The path of a published file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// A tile of hashes of the tree.
    Hashes(Tile),
    /// A bundle of entries.
    Entries(Bundle),
}

impl FromStr for TilePath {
    type Err = TileError;

    /// Reads a path in its canonical form.
    fn from_str(path: &str) -> Result<Self, TileError> {
        // The result is written out again and compared, so that there is no second spelling.
        read_path(path)
            .filter(|read| read.to_string() == path)
            .ok_or_else(|| TileError::Path(path.chars().take(200).flat_map(char::escape_debug).collect()))
    }
}

fn read_path(path: &str) -> Option<TilePath> {
    let (level, index) = path.strip_prefix("tile/")?.split_once('/')?;
    let (index, width) = match index.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok()?),
        None => (index, TILE_WIDTH),
    };
    let index = index.split('/').try_fold(0_u64, |index, group| {
        let group = group.strip_prefix('x').unwrap_or(group).parse::<u16>().ok().filter(|n| *n < 1000)?;
        index.checked_mul(1000)?.checked_add(u64::from(group))
    })?;
    if level == "entries" {
        Bundle::new(index, width).ok().map(TilePath::Entries)
    } else {
        Tile::new(level.parse().ok()?, index, width).ok().map(TilePath::Hashes)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes(tile) => tile.fmt(f),
            Self::Entries(bundle) => bundle.fmt(f),
        }
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tile/{}/", self.level)?;
        write_place(f, self.index, self.width)
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tile/entries/")?;
        write_place(f, self.index, self.width)
    }
}

/// The index in groups of three digits, all but the last after an `x`; then the width, if partial.
fn write_place(f: &mut fmt::Formatter<'_>, index: u64, width: u16) -> fmt::Result {
    let mut divisor = 1_u64;
    while index / divisor >= 1000 {
        divisor *= 1000;
    }
    while divisor > 1 {
        write!(f, "x{:03}/", index / divisor % 1000)?;
        divisor /= 1000;
    }
    write!(f, "{:03}", index % 1000)?;
    if width < TILE_WIDTH { write!(f, ".p/{width}") } else { Ok(()) }
}

/// The tiles that a log which grows from `old` to `new` entries has to write, level by level: those that
/// became full, and the partial ones at the right edge. Unchanged tiles are left out.
///
/// Empty if the log did not grow, or is larger than a log can be.
pub fn tiles_between(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    let levels = if new > LONGEST_LOG { 0 } else { 8 };
    (0..levels).flat_map(move |level: u8| {
        let height = HEIGHT * u32::from(level);
        let (old, new) = (old >> height, new >> height);
        // If nothing was added, nothing is written, even if the last tile is partial.
        let changed =
            if old < new { old / u64::from(TILE_WIDTH)..new.div_ceil(u64::from(TILE_WIDTH)) } else { 0..0 };
        changed.map(move |index| Tile { level, index, width: width(new, index) })
    })
}

/// The entry bundles that a log which grows from `old` to `new` entries has to write.
pub fn bundles_between(old: u64, new: u64) -> impl Iterator<Item = Bundle> {
    tiles_between(old, new)
        .take_while(|tile| tile.level == 0)
        .map(|Tile { index, width, .. }| Bundle { index, width })
}

/// The width of tile `index` of a level of `hashes` hashes, if it has any there.
fn width(hashes: u64, index: u64) -> u16 {
    let left = hashes.saturating_sub(index * u64::from(TILE_WIDTH));
    u16::try_from(left).map_or(TILE_WIDTH, |left| left.min(TILE_WIDTH))
}

/// Reads subtrees from published tiles, and fetches each tile once.
///
/// The hashes are not trusted: check the proofs that are made from them.
#[derive(Debug)]
pub struct TileReader<F> {
    size: u64,
    fetch: F,
    tiles: BTreeMap<Tile, Vec<Hash>>,
}

impl<F> TileReader<F> {
    /// A reader of the tiles of a log of `size` entries: `fetch` gives the bytes of a tile.
    pub fn new(size: u64, fetch: F) -> Self {
        Self { size, fetch, tiles: BTreeMap::new() }
    }

    /// The hash over the leaves `index·2^level .. (index+1)·2^level`: what
    /// [`inclusion_proof`](crate::inclusion_proof) and
    /// [`consistency_proof`](crate::consistency_proof) ask for, for a log of up to as many entries.
    pub fn read<E: From<TileError>>(&mut self, level: u32, index: u64) -> Result<Hash, E>
    where
        F: FnMut(Tile) -> Result<Vec<u8>, E>,
    {
        let tile = Tile::covering(level, index, self.size)?;
        if !self.tiles.contains_key(&tile) {
            let bytes = (self.fetch)(tile)?;
            self.tiles.insert(tile, tile.hashes(&bytes)?.to_vec());
        }
        let no = TileError::NoSubtree { level, index, size: self.size };
        let height = level % HEIGHT;
        let from = (index << height) % u64::from(TILE_WIDTH);
        let until = from + (1 << height);
        let range = usize::try_from(from).ok().zip(usize::try_from(until).ok());
        let below = range.and_then(|(from, until)| self.tiles.get(&tile)?.get(from..until));
        Ok(below.and_then(complete_root).ok_or(no)?)
    }
}

/// The root over 2ⁿ hashes.
fn complete_root(hashes: &[Hash]) -> Option<Hash> {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
    }
    row.pop()
}
