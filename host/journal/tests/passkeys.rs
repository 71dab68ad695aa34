//! A passkey counts its signatures, and a number that does not rise is not put on record.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

#[path = "../../trust/tests/common/passkey.rs"]
mod passkey;

use crate::support::{home, key, open};
use passkey::Passkey;
use remit_journal::{About, Act, JournalError, LedgerEvent, SignedStatement};
use remit_trust::KeyId;
use remit_trust::dsse::{Envelope, pae};
use serde_json::value::to_raw_value;

const KIND: &str = "application/vnd.remit.order.v1+json";

fn envelope(by: &mut Passkey, body: &str, counter: u32) -> Envelope {
    let answer = by.answer(&pae(KIND, body.as_bytes()), |said| said.counter = counter);
    let signature = by.key().envelop(&answer).unwrap();
    Envelope::signed_elsewhere(KIND, body.as_bytes(), &by.key().id(), &signature).unwrap()
}

fn act(by: KeyId, envelope: &Envelope) -> Act {
    let statement = SignedStatement {
        principal: "dana".to_owned(),
        key: by.to_string(),
        reason: "a drill".to_owned(),
        document: to_raw_value(envelope).unwrap(),
    };
    Act::now(About::Host, LedgerEvent::Frozen(statement))
}

#[tokio::test]
async fn a_number_that_does_not_rise_is_refused_by_every_process() {
    let (_folder, path) = home();
    let (journal, other) = (open(&path), open(&path));
    let mut dana = Passkey::new();
    for counter in [1, 2, 7] {
        let signed = envelope(&mut dana, "{}", counter);
        journal.act(&act(dana.key().id(), &signed)).await.unwrap();
        // One document may be in several records.
        other.act(&act(dana.key().id(), &signed)).await.unwrap();
    }
    for counter in [0, 1, 6, 7] {
        let signed = envelope(&mut dana, "{}", counter);
        for journal in [&journal, &other] {
            let refused = journal.act(&act(dana.key().id(), &signed)).await.unwrap_err();
            let told = (dana.key().id(), counter, 7);
            assert!(
                matches!(&refused, JournalError::Passkey { key, counter, last } if (key.clone(), *counter, *last) == told),
                "{refused}"
            );
        }
        let used = signed.uses_of_passkeys().remove(0);
        journal.reader().unwrap().check_use(&used).unwrap_err();
    }
    // The keys of others count for themselves, and the journal goes on.
    let mut eve = Passkey::new();
    journal.act(&act(eve.key().id(), &envelope(&mut eve, "{}", 3))).await.unwrap();
    journal.act(&act(dana.key().id(), &envelope(&mut dana, "{}", 8))).await.unwrap();
    let reader = journal.reader().unwrap();
    assert_eq!(reader.acts(About::Host).unwrap().len(), 8);
    reader.verify(&key(), None).unwrap();
}

#[tokio::test]
async fn a_key_that_does_not_count_says_nothing_each_time() {
    let (_folder, path) = home();
    let journal = open(&path);
    let mut dana = Passkey::new();
    for counter in [0, 0, 0, 5] {
        journal.act(&act(dana.key().id(), &envelope(&mut dana, "{}", counter))).await.unwrap();
    }
    journal.act(&act(dana.key().id(), &envelope(&mut dana, "{}", 0))).await.unwrap_err();
    journal.reader().unwrap().verify(&key(), None).unwrap();
}

/// What somebody else signed is no use of their key, in whatever document it is put.
#[tokio::test]
async fn nobody_counts_for_another() {
    let (_folder, path) = home();
    let journal = open(&path);
    let (mut dana, mut eve) = (Passkey::new(), Passkey::new());
    let of_dana = serde_json::to_value(envelope(&mut dana, "{}", u32::MAX)).unwrap();
    let mut both = serde_json::to_value(envelope(&mut eve, "{\"other\":1}", 1)).unwrap();
    both["signatures"].as_array_mut().unwrap().push(of_dana["signatures"][0].clone());
    journal.act(&act(eve.key().id(), &serde_json::from_value(both).unwrap())).await.unwrap();
    journal.act(&act(dana.key().id(), &envelope(&mut dana, "{}", 1))).await.unwrap();
    journal.reader().unwrap().verify(&key(), None).unwrap();
}

#[tokio::test]
async fn an_audit_finds_what_no_passkey_signed_and_a_number_that_was_changed() {
    let (_folder, path) = home();
    let journal = open(&path);
    let mut dana = Passkey::new();
    journal.act(&act(dana.key().id(), &envelope(&mut dana, "{}", 3))).await.unwrap();
    journal.reader().unwrap().verify(&key(), None).unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute("UPDATE passkey SET counter = 1", []).unwrap();
    let told = journal.reader().unwrap().verify(&key(), None).unwrap_err().to_string();
    assert!(told.contains("passkey"), "{told}");
    database.execute("UPDATE passkey SET counter = 3", []).unwrap();
    // Whoever writes the journal signs for nobody: the signature is of another document.
    let signed = serde_json::to_value(envelope(&mut dana, "{}", 4)).unwrap();
    let mut other = serde_json::to_value(envelope(&mut dana, "{\"other\":1}", 5)).unwrap();
    other["signatures"] = signed["signatures"].clone();
    journal.act(&act(dana.key().id(), &serde_json::from_value(other).unwrap())).await.unwrap();
    let told = journal.reader().unwrap().verify(&key(), None).unwrap_err().to_string();
    assert!(told.contains("its passkey did not sign"), "{told}");
}
