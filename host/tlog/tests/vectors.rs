//! Two other implementations agree with ours. `vectors/c2sp.json` was made by one in Python, see `make.py`
//! beside it; and everything in it, and much at random, goes through one in Rust: `tlog_tiles` and
//! `signed_note`.

#![allow(clippy::unwrap_used, reason = "a test says what went wrong by failing")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::support::{Tree, Wrong, entry, fetch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use remit_tlog::{
    Checkpoint, Hash, NoteSigner, NoteVerifier, Tile, TilePath, TileReader, WitnessVerifier,
    add_checkpoint_body, add_cosignatures, consistency_proof, inclusion_proof, leaf_hash, tiles_between,
    tree_root, verify_consistency, verify_inclusion,
};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::tlog;

const ORIGIN: &str = "remit.example/journal";

#[derive(Deserialize)]
struct Vectors {
    log: String,
    witness: String,
    time: u64,
    at: Vec<At>,
}

/// What there is of the log at one size.
#[derive(Deserialize)]
struct At {
    size: u64,
    root: String,
    note: String,
    answer: String,
    request: Request,
    inclusion: Vec<Inclusion>,
    consistency: Vec<Consistency>,
    files: usize,
    files_sha256: String,
    contents: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Request {
    old: u64,
    body: String,
}

#[derive(Deserialize)]
struct Inclusion {
    index: u64,
    proof: Vec<String>,
}

#[derive(Deserialize)]
struct Consistency {
    old: u64,
    proof: Vec<String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors/c2sp.json")).unwrap()
}

/// A log as large as the largest in the vectors: smaller ones are its beginnings.
static TREE: LazyLock<Tree> = LazyLock::new(|| Tree::new(70_000));

fn read(level: u32, index: u64) -> Result<Hash, Wrong> {
    TREE.read(level, index)
}

fn root(size: u64) -> Hash {
    tree_root(size, read).unwrap()
}

fn hash(text: &str) -> Hash {
    STANDARD.decode(text).unwrap().try_into().unwrap()
}

fn hashes(texts: &[String]) -> Vec<Hash> {
    texts.iter().map(|text| hash(text)).collect()
}

fn sha256(data: &[u8]) -> String {
    digest(&SHA256, data).as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn theirs(hashes: &[Hash]) -> Vec<tlog::Hash> {
    hashes.iter().copied().map(tlog::Hash).collect()
}

fn ours(hashes: &[tlog::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| hash.0).collect()
}

/// Our tree, as the other crate reads one.
struct Theirs;

impl tlog::HashReader for Theirs {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indexes
            .iter()
            .map(|index| {
                let (level, n) = tlog::split_stored_hash_index(*index);
                tlog::Hash(read(level.into(), n).unwrap())
            })
            .collect())
    }
}

/// The other crate writes the height of tiles, which in C2SP is always 8, into their paths.
fn their_path(path: &str) -> String {
    path.replacen("tile/", "tile/8/", 1)
}

/// A cosigner for `signed_note`, which has none: the signed message after the specification, the signature
/// by its own verifier of plain Ed25519.
struct TheirCosigner {
    name: String,
    id: u32,
    ed25519: StandardVerifier,
}

impl TheirCosigner {
    fn new(key: &str) -> Self {
        let (name, rest) = key.split_once('+').unwrap();
        let (id, key) = rest.split_once('+').unwrap();
        let mut bytes = STANDARD.decode(key).unwrap();
        assert_eq!(signed_note::key_id(name, &bytes), u32::from_str_radix(id, 16).unwrap());
        assert_eq!(bytes[0], 4);
        bytes[0] = 1;
        let plain = format!("{name}+{:08x}+{}", signed_note::key_id(name, &bytes), STANDARD.encode(&bytes));
        Self {
            name: name.to_owned(),
            id: u32::from_str_radix(id, 16).unwrap(),
            ed25519: StandardVerifier::new(&plain).unwrap(),
        }
    }
}

impl Verifier for TheirCosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, msg: &[u8], sig: &[u8]) -> bool {
        let Some((time, sig)) = sig.split_first_chunk::<8>() else { return false };
        let mut message = format!("cosignature/v1\ntime {}\n", u64::from_be_bytes(*time)).into_bytes();
        message.extend_from_slice(msg);
        self.ed25519.verify(&message, sig)
    }
}

#[test]
fn roots_and_proofs() {
    for at in vectors().at {
        let (size, root) = (at.size, root(at.size));
        assert_eq!(root, hash(&at.root), "the root of {size}");
        assert_eq!(tlog::tree_hash(size, &Theirs).unwrap().0, root);
        for Inclusion { index, proof } in at.inclusion {
            let proof = hashes(&proof);
            let leaf = leaf_hash(&entry(index));
            assert_eq!(inclusion_proof(index, size, read), Ok(proof.clone()), "{index} in {size}");
            verify_inclusion(&leaf, index, size, &root, &proof).unwrap();
            tlog::check_record(&theirs(&proof), size, tlog::Hash(root), index, tlog::Hash(leaf)).unwrap();
        }
        for Consistency { old, proof } in at.consistency {
            let (proof, old_root) = (hashes(&proof), self::root(old));
            assert_eq!(consistency_proof(old, size, read), Ok(proof.clone()), "{old} to {size}");
            verify_consistency(old, &old_root, size, &root, &proof).unwrap();
            tlog::check_tree(&theirs(&proof), size, tlog::Hash(root), old, tlog::Hash(old_root)).unwrap();
        }
    }
}

#[test]
fn tiles_and_bundles() {
    for at in vectors().at {
        let files = TREE.publish(&[at.size]);
        assert_eq!(files.len(), at.files, "at {}", at.size);
        let listing = files.iter().fold(String::new(), |mut text, (path, data)| {
            writeln!(text, "{}  {path}", sha256(data)).unwrap();
            text
        });
        assert_eq!(sha256(listing.as_bytes()), at.files_sha256, "at {}", at.size);
        if let Some(contents) = at.contents {
            let files: BTreeMap<_, _> =
                files.iter().map(|(path, data)| (path.clone(), STANDARD.encode(data))).collect();
            assert_eq!(files, contents);
        }
    }
}

#[test]
fn notes_and_cosignatures() {
    let vectors = vectors();
    let signer = NoteSigner::from_seed(ORIGIN, &[1; 32]).unwrap();
    assert_eq!(signer.verifier().to_string(), vectors.log);
    let log = NoteVerifier::parse(&vectors.log).unwrap();
    let witness = WitnessVerifier::parse(&vectors.witness).unwrap();
    assert_eq!(witness.to_string(), vectors.witness);
    for at in vectors.at {
        let checkpoint = Checkpoint {
            origin: ORIGIN.to_owned(),
            size: at.size,
            root: root(at.size),
            extensions: Vec::new(),
        };
        assert_eq!(signer.sign(&checkpoint), at.note);
        let cosignature = witness.verify(&at.note, &at.answer).unwrap();
        assert_eq!(cosignature.timestamp, vectors.time + at.size);
        let cosigned = add_cosignatures(&at.note, &[cosignature]);
        assert_eq!(log.verify(&cosigned), Ok(checkpoint.clone()));

        let theirs = tlog_tiles::Checkpoint::from_bytes(checkpoint.to_text().as_bytes()).unwrap();
        assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), (ORIGIN, at.size, checkpoint.root));
        let keys = VerifierList::new(vec![
            Box::new(StandardVerifier::new(&vectors.log).unwrap()),
            Box::new(TheirCosigner::new(&vectors.witness)),
        ]);
        let note = Note::from_bytes(cosigned.as_bytes()).unwrap();
        assert_eq!(note.text(), checkpoint.to_text().as_bytes());
        let (verified, unknown) = note.verify(&keys).unwrap();
        assert_eq!((verified.len(), unknown.len()), (2, 0), "at {}", at.size);
        assert_eq!(note.to_bytes(), cosigned.as_bytes());
    }
}

#[test]
fn requests_to_a_witness() {
    for At { size, note, request: Request { old, body }, .. } in vectors().at {
        let proof = consistency_proof(old, size, read).unwrap();
        assert_eq!(add_checkpoint_body(old, &proof, &note), body, "{old} to {size}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Made by one, checked by the other, both ways; ours from tiles that theirs filled.
    #[test]
    fn proofs_of_any_size(size in 1..70_000_u64, a in any::<u64>(), b in any::<u64>()) {
        let (index, old) = (a % size, b % size + 1);
        let (root, old_root, leaf) = (root(size), root(old), leaf_hash(&entry(index)));
        let their_tile = |tile: Tile| {
            let path = their_path(&tile.to_string());
            Ok::<_, Wrong>(tlog_tiles::Tile::from_path(&path).unwrap().read_data(&Theirs).unwrap())
        };
        let mut tiles = TileReader::new(size, their_tile);

        let proof = inclusion_proof::<Wrong>(index, size, |level, index| tiles.read(level, index)).unwrap();
        prop_assert!(tlog::check_record(&theirs(&proof), size, tlog::Hash(root), index, tlog::Hash(leaf)).is_ok());
        let record = tlog::prove_record(size, index, &Theirs).unwrap();
        prop_assert_eq!(ours(&record), proof);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &root, &ours(&record)), Ok(()));

        let proof = consistency_proof::<Wrong>(old, size, |level, index| tiles.read(level, index)).unwrap();
        let (new_tree, old_tree) = (tlog::Hash(root), tlog::Hash(old_root));
        prop_assert!(tlog::check_tree(&theirs(&proof), size, new_tree, old, old_tree).is_ok());
        let tree = tlog::prove_tree(size, old, &Theirs).unwrap();
        prop_assert_eq!(ours(&tree), proof);
        prop_assert_eq!(verify_consistency(old, &old_root, size, &root, &ours(&tree)), Ok(()));
    }

    /// Their reader checks every tile that it is given against the root: it takes ours.
    #[test]
    fn they_read_our_tiles(size in 1..3000_u64, at in any::<u64>()) {
        struct Published(BTreeMap<String, Vec<u8>>);
        impl tlog_tiles::TileReader for Published {
            fn height(&self) -> u8 {
                8
            }
            fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog::Error> {
                Ok(tiles.iter().map(|tile| self.0[&tile.path().replacen("tile/8/", "tile/", 1)].clone()).collect())
            }
            fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
        }
        let published = Published(TREE.publish(&[size]));
        let index = at % size;
        let hashes = tlog_tiles::TileHashReader::new(size, tlog::Hash(root(size)), &published);
        let record = tlog::prove_record(size, index, &hashes).unwrap();
        prop_assert_eq!(inclusion_proof(index, size, read), Ok(ours(&record)));
        let mut fetched = TileReader::new(size, fetch(&published.0));
        prop_assert_eq!(inclusion_proof(index, size, |level, index| fetched.read::<Wrong>(level, index)), Ok(ours(&record)));
    }

    #[test]
    fn the_same_tiles_are_written(a in 0..1_u64 << 40, grown in 0..3_000_u64, shift in 0..40_u32) {
        let (old, new) = (a >> shift, (a >> shift) + grown);
        let ours: Vec<String> = tiles_between(old, new).map(|tile| their_path(&tile.to_string())).collect();
        let theirs: Vec<String> = tlog_tiles::Tile::new_tiles(8, old, new).iter().map(tlog_tiles::Tile::path).collect();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn the_same_paths(level in 0..8_u8, index in any::<u64>(), shift in 0..64_u32, width in 1..=256_u16) {
        if let Ok(tile) = Tile::new(level, index >> shift, width) {
            let theirs = tlog_tiles::Tile::from_path(&their_path(&tile.to_string())).unwrap();
            prop_assert_eq!((theirs.level(), theirs.level_index(), theirs.width()), (level, tile.index(), width.into()));
        }
    }

    /// And the same texts are no paths. (To them a log may have more than 2⁶³ entries; and a level beyond 63 or
    /// a width of 0 makes them panic, so there is none of that here.)
    #[test]
    fn no_more_paths_than_theirs(path in "tile/[0-5]?[0-9]/(x?[0-9]{1,4}/){0,3}x?[0-9]{2,4}(\\.p/0{0,2}[1-9][0-9]{0,2})?") {
        let ours = path.parse::<TilePath>();
        match tlog_tiles::Tile::from_path(&their_path(&path)) {
            Ok(theirs) => {
                let width = u16::try_from(theirs.width()).unwrap();
                let possible = Tile::new(theirs.level(), theirs.level_index(), width);
                prop_assert_eq!(ours.ok(), possible.ok().map(TilePath::Hashes));
            }
            Err(_) => prop_assert!(ours.is_err(), "{:?}", ours),
        }
    }
}
