//! By what a directory says that an account cannot be used, and what else differs between directories.

use remit_gate::Failure;

use super::entry::Entry;
use crate::accounts::Before;

/// The value of a lock that does not end by itself (draft-behera-ldap-password-policy, 5.3.3).
pub(super) const FOR_EVER: &str = "000001010000Z";
/// `ACCOUNTDISABLE` of `userAccountControl` (MS-ADTS 2.2.16).
pub(super) const ACCOUNT_DISABLE: i64 = 0x2;

/// `LOCKOUT` of it: too many wrong passwords. It is never stored there.
const LOCKOUT: i64 = 0x10;
/// The attribute that says whether it is set.
pub(super) const COMPUTED: &str = "msDS-User-Account-Control-Computed";

/// How an account of a directory is kept from being used.
pub(super) enum Lock {
    /// `pwdAccountLockedTime` of the overlay `ppolicy`, where a policy makes it count.
    Policy {
        /// The policy of an entry that names none of its own.
        default: String,
    },
    /// A bit of `userAccountControl`.
    AccountControl,
}

impl Lock {
    /// The attribute that says whether an account can be used.
    pub(super) fn attribute(&self) -> &'static str {
        match self {
            Self::Policy { .. } => "pwdAccountLockedTime",
            Self::AccountControl => "userAccountControl",
        }
    }

    /// The attribute that says which entry it is, whatever its name.
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Policy { .. } => "entryUUID",
            Self::AccountControl => "objectGUID",
        }
    }

    pub(super) fn created(&self) -> &'static [&'static str] {
        match self {
            Self::Policy { .. } => &["createTimestamp"],
            Self::AccountControl => &["whenCreated"],
        }
    }

    /// The attributes with the times of the last use: of the server itself and of an overlay before it; of all servers of a domain, late,
    /// and of the one that is asked.
    pub(super) fn used(&self) -> &'static [&'static str] {
        match self {
            Self::Policy { .. } => &["pwdLastSuccess", "authTimestamp"],
            Self::AccountControl => &["lastLogonTimestamp", "lastLogon"],
        }
    }

    /// The value that says that an account is disabled, in place of the one that it had.
    pub(super) fn disabled(&self, before: &Before) -> Result<String, Failure> {
        Ok(match self {
            Self::Policy { .. } => FOR_EVER.to_owned(),
            Self::AccountControl => {
                (control(before.was.as_deref(), &before.dn)? | ACCOUNT_DISABLE).to_string()
            }
        })
    }

    /// What a change names the entry by.
    pub(super) fn target(&self, entry: &Entry, id: &str) -> String {
        match self {
            Self::Policy { .. } => entry.dn.clone(),
            // A name that is of no other entry (MS-ADTS 3.1.1.3.1.2.4).
            Self::AccountControl => format!("<GUID={id}>"),
        }
    }

    /// What is written so that the value becomes this one.
    pub(super) fn written(&self, value: &str, entry: &Entry) -> String {
        let number = |text: &str| text.parse::<i64>().ok();
        match (self, number(value), entry.one(COMPUTED).and_then(number)) {
            // Writing the value without the bit takes the lock of wrong passwords away (MS-SAMR 3.1.1.8.10).
            (Self::AccountControl, Some(value), Some(computed)) => (value | computed & LOCKOUT).to_string(),
            _ => value.to_owned(),
        }
    }
}

pub(super) fn control(value: Option<&str>, dn: &str) -> Result<i64, Failure> {
    value.and_then(|value| value.parse().ok()).ok_or_else(|| {
        Failure::Invalid(format!("{dn} has no `userAccountControl` that the host may read, as accounts have"))
    })
}
