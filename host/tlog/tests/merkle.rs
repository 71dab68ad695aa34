//! The tree against RFC 6962's recursive definition, and proofs against everything that is not one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by failing")]

use proptest::prelude::*;
use remit_tlog::{
    Frontier, Hash, ProofError, consistency_proof, inclusion_proof, leaf_hash, node_hash, verify_consistency,
    verify_inclusion,
};

/// RFC 6962, section 2.1, word for word.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Frontier::default().root(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&mth(left), &mth(right))
        }
    }
}

fn leaves(n: usize) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(format!("entry {i}").as_bytes())).collect()
}

/// Reads complete subtrees only, and fails the test when asked for another.
fn reader(leaves: &[Hash]) -> impl FnMut(u32, u64) -> Result<Hash, ProofError> {
    move |level, index| {
        let from = usize::try_from(index).unwrap() << level;
        Ok(mth(leaves.get(from..from + (1 << level)).expect("a complete subtree")))
    }
}

/// All the ways to spoil a proof a little: one hash flipped, dropped, doubled, swapped.
fn spoiled(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = vec![[proof, &[[0; 32]]].concat(), [&[[0; 32]], proof].concat()];
    for i in 0..proof.len() {
        let mut flipped = proof.to_vec();
        flipped[i][31] ^= 1;
        let mut dropped = proof.to_vec();
        dropped.remove(i);
        let mut doubled = proof.to_vec();
        doubled.insert(i, proof[i]);
        let mut swapped = proof.to_vec();
        swapped.swap(i, (i + 1) % proof.len());
        all.extend([flipped, dropped, doubled, swapped]);
    }
    all.retain(|other| other != proof);
    all
}

/// The entries and roots that the Certificate Transparency reference implementation is tested with.
#[test]
fn known_roots() {
    let entries: [&[u8]; 8] = [
        b"",
        &[0x00],
        &[0x10],
        &[0x20, 0x21],
        &[0x30, 0x31],
        &[0x40, 0x41, 0x42, 0x43],
        &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
        &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
    ];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let hex = |hash: Hash| hash.iter().fold(String::new(), |text, b| text + &format!("{b:02x}"));
    let mut frontier = Frontier::default();
    assert_eq!(hex(frontier.root()), roots[0]);
    for (entry, root) in entries.into_iter().zip(&roots[1..]) {
        frontier.push(leaf_hash(entry));
        assert_eq!(hex(frontier.root()), *root, "at size {}", frontier.size());
    }
}

#[test]
fn every_inclusion_proof_up_to_20_leaves() {
    for size in 1..=20_u64 {
        let tree = leaves(usize::try_from(size).unwrap());
        let root = mth(&tree);
        for (index, leaf) in (0..).zip(&tree) {
            let proof = inclusion_proof(index, size, reader(&tree)).unwrap();
            verify_inclusion(leaf, index, size, &root, &proof).unwrap();
            for wrong in spoiled(&proof) {
                assert_eq!(verify_inclusion(leaf, index, size, &root, &wrong), Err(ProofError::Wrong));
            }
            for other in (0..size).filter(|other| *other != index) {
                assert_eq!(verify_inclusion(leaf, other, size, &root, &proof), Err(ProofError::Wrong));
            }
            assert_eq!(
                verify_inclusion(&leaf_hash(b"forged"), index, size, &root, &proof),
                Err(ProofError::Wrong)
            );
            assert_eq!(verify_inclusion(leaf, index, size, &[0; 32], &proof), Err(ProofError::Wrong));
        }
        assert_eq!(inclusion_proof(size, size, reader(&tree)), Err(ProofError::TooShort));
        assert_eq!(verify_inclusion(&root, size, size, &root, &[]), Err(ProofError::TooShort));
    }
}

#[test]
fn every_consistency_proof_up_to_20_leaves() {
    for new in 0..=20_u64 {
        let tree = leaves(usize::try_from(new).unwrap());
        let new_root = mth(&tree);
        for old in 0..=new {
            let old_root = mth(&tree[..usize::try_from(old).unwrap()]);
            let proof = consistency_proof(old, new, reader(&tree)).unwrap();
            verify_consistency(old, &old_root, new, &new_root, &proof).unwrap();
            for wrong in spoiled(&proof) {
                assert_eq!(
                    verify_consistency(old, &old_root, new, &new_root, &wrong),
                    Err(ProofError::Wrong),
                    "{old} to {new}"
                );
            }
            for (before, after) in [(&[7; 32], &new_root), (&old_root, &[7; 32])] {
                // Nothing can be said of what follows an empty log.
                if old != 0 || before != &old_root {
                    assert_eq!(
                        verify_consistency(old, before, new, after, &proof),
                        Err(ProofError::Wrong),
                        "{old} to {new}"
                    );
                }
            }
        }
        assert_eq!(consistency_proof(new + 1, new, reader(&tree)), Err(ProofError::TooShort));
        assert_eq!(
            verify_consistency(new + 1, &new_root, new, &new_root, &[]),
            Err(ProofError::TooShort),
            "a log that became shorter"
        );
    }
}

/// A frontier says how many nodes it has; anything else, or a size that could overflow, is damage.
#[test]
fn a_damaged_frontier_is_refused() {
    let mut frontier = Frontier::default();
    for leaf in leaves(6) {
        frontier.push(leaf);
    }
    let bytes = frontier.to_bytes();
    for cut in 0..bytes.len() {
        assert!(Frontier::from_bytes(&bytes[..cut]).is_err(), "cut to {cut}");
    }
    assert!(Frontier::from_bytes(&[bytes.as_slice(), &[0; 32]].concat()).is_err());
    let mut full = u64::MAX.to_be_bytes().to_vec();
    full.extend_from_slice(&[0; 64 * 32]);
    assert!(Frontier::from_bytes(&full).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_frontier_is_the_tree(entries in proptest::collection::vec(any::<[u8; 8]>(), 0..300)) {
        let tree: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let mut frontier = Frontier::default();
        for leaf in &tree {
            frontier.push(*leaf);
        }
        prop_assert_eq!(frontier.size(), tree.len() as u64);
        prop_assert_eq!(frontier.root(), mth(&tree));
        prop_assert_eq!(Frontier::from_bytes(&frontier.to_bytes()), Ok(frontier));
    }

    #[test]
    fn stored_and_read_back_in_the_middle(n in 0..200_usize, at in 0..200_usize) {
        let tree = leaves(n);
        let at = at.min(n);
        let mut frontier = Frontier::default();
        tree[..at].iter().for_each(|leaf| frontier.push(*leaf));
        let mut frontier = Frontier::from_bytes(&frontier.to_bytes()).unwrap();
        tree[at..].iter().for_each(|leaf| frontier.push(*leaf));
        prop_assert_eq!(frontier.root(), mth(&tree));
    }

    #[test]
    fn proofs_of_larger_trees(n in 1..1000_usize, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let tree = leaves(n);
        let (root, size) = (mth(&tree), n as u64);
        let (index, old) = (a.index(n), b.index(n + 1));
        let proof = inclusion_proof(index as u64, size, reader(&tree)).unwrap();
        prop_assert_eq!(verify_inclusion(&tree[index], index as u64, size, &root, &proof), Ok(()));
        let proof = consistency_proof(old as u64, size, reader(&tree)).unwrap();
        prop_assert_eq!(verify_consistency(old as u64, &mth(&tree[..old]), size, &root, &proof), Ok(()));
    }

    /// A fork: one entry of the past differs. No proof that the honest log can give covers it.
    #[test]
    fn a_rewritten_past_is_not_consistent(n in 2..200_usize, at in any::<prop::sample::Index>(), old in any::<prop::sample::Index>()) {
        let honest = leaves(n);
        let old = 1 + old.index(n - 1);
        let at = at.index(old);
        let mut forked = honest.clone();
        forked[at] = leaf_hash(b"another");
        let proof = consistency_proof(old as u64, n as u64, reader(&forked)).unwrap();
        prop_assert_eq!(
            verify_consistency(old as u64, &mth(&honest[..old]), n as u64, &mth(&forked), &proof),
            Err(ProofError::Wrong)
        );
    }

    /// Whatever a stranger sends, the answer is an error and not a panic.
    #[test]
    fn any_proof_is_answered(
        a in any::<u64>(), b in any::<u64>(),
        proof in proptest::collection::vec(any::<[u8; 32]>(), 0..80),
    ) {
        prop_assert!(verify_inclusion(&[1; 32], a, b, &[2; 32], &proof).is_err());
        prop_assert!(verify_consistency(a, &[1; 32], b, &[2; 32], &proof).is_err());
    }
}
