//! Tiles: their one spelling, what a growing log writes, and proofs from nothing but what it wrote.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{Tree, Wrong, entry, fetch};
use proptest::prelude::*;
use proptest::sample::Index;
use remit_tlog::{
    Bundle, Hash, Tile, TileError, TilePath, TileReader, bundle_bytes, bundles_between, consistency_proof,
    inclusion_proof, leaf_hash, node_hash, tiles_between, tree_root, verify_consistency, verify_inclusion,
};

fn names(old: u64, new: u64) -> Vec<String> {
    tiles_between(old, new).map(|tile| tile.to_string()).collect()
}

/// The examples of the specification: index 1234067, and the tiles of a log of 70,000 entries.
#[test]
fn the_paths_of_the_specification() {
    let path = |level, index, width| Tile::new(level, index, width).unwrap().to_string();
    assert_eq!(path(0, 0, 256), "tile/0/000");
    assert_eq!(path(0, 1_234_067, 256), "tile/0/x001/x234/067");
    assert_eq!(path(2, 1000, 17), "tile/2/x001/000.p/17");
    assert_eq!(Bundle::new(999, 255).unwrap().to_string(), "tile/entries/999.p/255");

    let all = names(0, 70_000);
    assert_eq!(all.len(), 277);
    assert_eq!(
        all[272..],
        ["tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]
    );
    assert_eq!(names(0, 256), ["tile/0/000", "tile/1/000.p/1"]);
}

#[test]
fn a_step_writes_what_changed_and_nothing_else() {
    assert_eq!(names(0, 0), [""; 0]);
    assert_eq!(names(9, 9), [""; 0]);
    assert_eq!(names(9, 8), [""; 0], "a log does not shrink");
    assert_eq!(names(0, 1), ["tile/0/000.p/1"]);
    assert_eq!(names(1, 255), ["tile/0/000.p/255"]);
    assert_eq!(names(255, 256), ["tile/0/000", "tile/1/000.p/1"]);
    // The tile above stays as it is: nothing became full.
    assert_eq!(names(256, 257), ["tile/0/001.p/1"]);
    assert_eq!(names(257, 768), ["tile/0/001", "tile/0/002", "tile/1/000.p/3"]);
    assert_eq!(names(65_535, 65_536), ["tile/0/255", "tile/1/000", "tile/2/000.p/1"]);
    let bundles: Vec<_> = bundles_between(255, 257).map(|bundle| bundle.to_string()).collect();
    assert_eq!(bundles, ["tile/entries/000", "tile/entries/001.p/1"]);
}

/// At the end of the largest log, and beyond: an answer, and no overflow.
#[test]
fn the_largest_log() {
    let most = 1 << 63;
    let last: Vec<_> = tiles_between(most - 1, most).map(|tile| tile.to_string()).collect();
    assert_eq!(last[0], "tile/0/x036/x028/x797/x018/x963/967");
    assert_eq!(last[7..], ["tile/7/000.p/128"]);
    assert_eq!(tiles_between(most, u64::MAX).count(), 0);
    assert!(Tile::new(7, 0, 128).is_ok());
    for (level, index, width) in [
        (7, 0, 129),
        (7, 1, 1),
        (8, 0, 1),
        (63, 0, 1),
        (255, 0, 1),
        (0, 1 << 55, 1),
        (0, u64::MAX, 256),
        (0, 0, 0),
        (0, 0, 257),
    ] {
        let error = TileError::Range { level, index, width };
        assert_eq!(Tile::new(level, index, width), Err(error));
    }
    assert!(Tile::covering(63, 0, most).is_ok());
    for (level, index, size) in
        [(0, 0, 0), (0, 1, 1), (1, 0, 1), (64, 0, most), (u32::MAX, 0, most), (0, 0, most + 1)]
    {
        assert_eq!(Tile::covering(level, index, size), Err(TileError::NoSubtree { level, index, size }));
    }
}

#[test]
fn paths_that_are_none() {
    for path in [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/+0/000",
        "tile/-1/000",
        "tile/8/000",
        "tile/63/000",
        "tile/256/000",
        "tile/x/000",
        "tile/data/000",
        "tile/entries/",
        "tile/Entries/000",
        "tile/0/x000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/xx01/000",
        "tile/0/x001/+00",
        "tile/0/ 00",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/65537",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/x001.p/1/000",
        "tile/0/000\n",
        "tile/0/x999/x999/x999/x999/x999/x999/999",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/٠٠٠",
    ] {
        let error = TileError::Path(path.escape_debug().collect());
        assert_eq!(path.parse::<TilePath>(), Err(error), "{path:?}");
    }
    let long = "x001/".repeat(1 << 16);
    assert!(format!("tile/0/{long}000").parse::<TilePath>().is_err());
}

#[test]
fn bytes_that_are_no_tile() {
    let tile = Tile::new(0, 0, 3).unwrap();
    for found in [0, 1, 64, 95, 97, 128, 8192] {
        let error = TileError::Length { tile, expected: 96, found };
        assert_eq!(tile.hashes(&vec![0; found]), Err(error));
    }
    assert_eq!(tile.hashes(&[7; 96]), Ok([[7; 32]; 3].as_slice()));
    assert_eq!(tile.full().to_string(), "tile/0/000");
    // A server that sends something else is found out before any hash is used.
    let mut reader = TileReader::new(3, |_| Ok::<_, Wrong>(vec![0; 95]));
    let error = TileError::Length { tile, expected: 96, found: 95 };
    assert_eq!(reader.read(0, 0), Err(Wrong::Tile(error)));
}

#[test]
fn bytes_that_are_no_bundle() {
    let bundle = Bundle::new(4, 2).unwrap();
    let good = bundle_bytes(&["a", "bc"]).unwrap();
    assert_eq!(good, b"\0\x01a\0\x02bc");
    assert_eq!(bundle.entries(&good), Ok(vec![b"a".as_slice(), b"bc"]));
    let wrong = |reason| Err(TileError::Bundle { bundle, reason });
    for cut in 0..good.len() {
        assert!(bundle.entries(&good[..cut]).is_err(), "cut to {cut}");
    }
    assert_eq!(bundle.entries(&[good.as_slice(), b"\0"].concat()), wrong("something follows its last entry"));
    assert_eq!(bundle.entries(&bundle_bytes(&["a"]).unwrap()), wrong("it has too few entries"));
    assert_eq!(bundle.entries(b"\0\x01a\xff\xffbc"), wrong("an entry is cut off"));
    assert_eq!(bundle.entries(b"\0\0\0\0"), Ok(vec![b"".as_slice(), b""]), "an empty entry is one");
}

#[test]
fn entries_that_cannot_be_published() {
    let longest = vec![7; 65_535];
    let bytes = bundle_bytes(&[&longest]).unwrap();
    assert_eq!(Bundle::new(0, 1).unwrap().entries(&bytes), Ok(vec![longest.as_slice()]));
    assert_eq!(bundle_bytes(&[vec![7; 65_536]]), Err(TileError::TooLong(65_536)));
    assert_eq!(bundle_bytes::<&[u8]>(&[]), Err(TileError::Entries(0)));
    assert_eq!(bundle_bytes(&[b"x"; 257]), Err(TileError::Entries(257)));
    assert!(bundle_bytes(&[b"x"; 256]).is_ok());
}

/// A tile that was changed leads nowhere: the proof made of it does not verify.
#[test]
fn a_changed_tile_is_found_out() {
    let tree = Tree::new(300);
    let root = tree_root(300, |level, index| tree.read(level, index)).unwrap();
    let mut files = tree.publish(&[300]);
    files.get_mut("tile/0/001.p/44").unwrap()[40] ^= 1;
    let mut reader = TileReader::new(300, fetch(&files));
    let proof = inclusion_proof::<Wrong>(3, 300, |level, index| reader.read(level, index)).unwrap();
    assert!(verify_inclusion(&leaf_hash(&entry(3)), 3, 300, &root, &proof).is_err());
}

/// A proof for the past needs no tile of the past: later ones hold the same hashes.
#[test]
fn partial_tiles_of_the_past_may_be_gone() {
    let tree = Tree::new(600);
    let files = tree.publish(&[600]);
    let mut reader = TileReader::new(600, fetch(&files));
    for size in [1, 5, 255, 256, 300, 599] {
        let read = |level, index| tree.read(level, index);
        let proof = inclusion_proof::<Wrong>(size / 2, size, |l, i| reader.read(l, i)).unwrap();
        assert_eq!(proof, inclusion_proof(size / 2, size, read).unwrap());
    }
    assert!(matches!(
        inclusion_proof::<Wrong>(0, 601, |l, i| reader.read(l, i)),
        Err(Wrong::Tile(TileError::NoSubtree { .. }))
    ));
}

/// The spec's sentence on partial tiles: their widths are the size's digits in base 256.
fn edge(size: u64) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for level in 0..8_u8 {
        let (full, width) = (size >> (8 * level) >> 8, size >> (8 * level) & 255);
        if width > 0 {
            names.insert(Tile::new(level, full, u16::try_from(width).unwrap()).unwrap().to_string());
        }
    }
    names
}

fn trees() -> impl Strategy<Value = (u64, Index, Index)> {
    // Small ones, ones around a full tile, and some of more than a level-1 tile.
    let sizes = prop_oneof![4 => 1..600_u64, 4 => 250..262_u64, 1 => 65_530..65_542_u64, 1 => 1..70_000_u64];
    (sizes, any::<Index>(), any::<Index>())
}

fn tile() -> impl Strategy<Value = Tile> {
    (0..8_u8, any::<u64>(), 1..=256_u16, 0..64_u32)
        .prop_filter_map("no log has it", |(level, index, width, shift)| {
            Tile::new(level, index >> shift, width).ok()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn proofs_from_tiles_alone((size, a, b) in trees()) {
        let tree = Tree::new(size);
        let files = tree.publish(&[size]);
        let mut fetched = 0;
        let mut fetch = fetch(&files);
        let mut reader = TileReader::new(size, |tile| { fetched += 1; fetch(tile) });

        let root = tree_root(size, |level, index| tree.read(level, index)).unwrap();
        prop_assert_eq!(tree_root::<Wrong>(size, |level, index| reader.read(level, index)), Ok(root));

        let index = a.index(usize::try_from(size).unwrap()) as u64;
        let proof = inclusion_proof::<Wrong>(index, size, |level, index| reader.read(level, index)).unwrap();
        prop_assert_eq!(&proof, &inclusion_proof::<Wrong>(index, size, |l, i| tree.read(l, i)).unwrap());
        prop_assert_eq!(verify_inclusion(&leaf_hash(&entry(index)), index, size, &root, &proof), Ok(()));

        let old = b.index(usize::try_from(size).unwrap()) as u64 + 1;
        let old_root = tree_root::<Wrong>(old, |level, index| reader.read(level, index)).unwrap();
        let proof = consistency_proof::<Wrong>(old, size, |level, index| reader.read(level, index)).unwrap();
        prop_assert_eq!(&proof, &consistency_proof::<Wrong>(old, size, |l, i| tree.read(l, i)).unwrap());
        prop_assert_eq!(verify_consistency(old, &old_root, size, &root, &proof), Ok(()));
        // The right edge, the way to the leaf and the way to the old edge: no more than three tiles a level.
        prop_assert!(fetched <= 9, "{fetched} tiles fetched");
    }

    /// However a log grows, it writes no path twice; each step writes the edge that the checkpoint of its size
    /// needs; and in the end everything is there that growing in one step writes.
    #[test]
    fn growing_in_steps(steps in proptest::collection::btree_set(1..1500_u64, 1..12)) {
        let sizes: Vec<u64> = steps.into_iter().collect();
        let last = *sizes.last().unwrap();
        let tree = Tree::new(last);
        let files = tree.publish(&sizes);
        for size in &sizes {
            for name in edge(*size) {
                prop_assert!(files.contains_key(&name), "{name} of size {size}");
            }
        }
        for (name, bytes) in tree.publish(&[last]) {
            prop_assert_eq!(files.get(&name), Some(&bytes), "{}", name);
        }
    }

    #[test]
    fn bundles_and_tiles_agree(size in 1..1000_u64) {
        let files = Tree::new(size).publish(&[size]);
        let mut next = 0;
        for bundle in bundles_between(0, size) {
            let entries = bundle.entries(&files[&bundle.to_string()]).unwrap();
            let hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
            prop_assert_eq!(bundle.tile().hashes(&files[&bundle.tile().to_string()]), Ok(hashes.as_slice()));
            prop_assert_eq!(bundle.first(), next);
            next += entries.len() as u64;
        }
        prop_assert_eq!(next, size);
    }
}

proptest! {
    #[test]
    fn path_round_trip(tile in tile()) {
        prop_assert_eq!(tile.to_string().parse(), Ok(TilePath::Hashes(tile)));
        prop_assert_eq!(TilePath::Hashes(tile).to_string(), tile.to_string());
        if let Ok(bundle) = Bundle::new(tile.index(), tile.width()) {
            prop_assert_eq!(bundle.to_string().parse(), Ok(TilePath::Entries(bundle)));
        }
    }

    /// What is read is written as it was: nothing has two spellings.
    #[test]
    fn one_spelling(path in "tile/([0-9]{1,2}|entries)/(x?[0-9]{1,4}/){0,3}x?[0-9]{2,4}(\\.p/[0-9]{0,3})?") {
        if let Ok(read) = path.parse::<TilePath>() {
            prop_assert_eq!(read.to_string(), path);
        }
    }

    #[test]
    fn any_text_is_answered(path in "\\PC*", bytes in any::<Vec<u8>>(), width in 1..=256_u16) {
        let _ = path.parse::<TilePath>();
        let _ = format!("tile/{path}").parse::<TilePath>();
        let _ = Bundle::new(0, width).unwrap().entries(&bytes);
        let _ = Tile::new(0, 0, width).unwrap().hashes(&bytes);
    }

    #[test]
    fn entries_round_trip(entries in proptest::collection::vec(any::<Vec<u8>>(), 1..20)) {
        let bytes = bundle_bytes(&entries).unwrap();
        let bundle = Bundle::new(0, u16::try_from(entries.len()).unwrap()).unwrap();
        let read: Vec<Vec<u8>> = bundle.entries(&bytes).unwrap().into_iter().map(<[u8]>::to_vec).collect();
        prop_assert_eq!(read, entries);
    }

    /// Every subtree that a log holds is read; none beyond it.
    #[test]
    fn covering_tiles(size in 0..1_u64 << 63, level in 0..63_u32, at in any::<u64>()) {
        let subtrees = size >> level;
        if subtrees > 0 {
            let index = at % subtrees;
            let tile = Tile::covering(level, index, size).unwrap();
            prop_assert_eq!(Tile::new(tile.level(), tile.index(), tile.width()), Ok(tile));
            prop_assert_eq!(u32::from(tile.level()), level / 8);
            prop_assert!(tile.is_full() || edge(size).contains(&tile.to_string()));
        }
        prop_assert!(Tile::covering(level, subtrees, size).is_err());
    }
}

/// Levels 1 to 7 of a tile are hashed from its hashes: two by two, by hand.
#[test]
fn levels_inside_a_tile() {
    let tree = Tree::new(4);
    let files: BTreeMap<_, _> = tree.publish(&[4]);
    let mut reader = TileReader::new(4, fetch(&files));
    let leaves: Vec<Hash> = (0..4).map(|i| leaf_hash(&entry(i))).collect();
    let pair = |i: usize| node_hash(&leaves[i], &leaves[i + 1]);
    assert_eq!(reader.read(0, 3), Ok(leaves[3]));
    assert_eq!(reader.read(1, 1), Ok(pair(2)));
    assert_eq!(reader.read(2, 0), Ok(node_hash(&pair(0), &pair(2))));
    assert!(reader.read(3, 0).is_err());
}
