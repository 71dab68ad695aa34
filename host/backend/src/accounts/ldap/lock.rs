//! By what a directory says that an account cannot be used, and what else differs between directories.

use remit_gate::Failure;

use crate::accounts::Before;

/// The value of a lock that does not end by itself (draft-behera-ldap-password-policy, 5.3.3).
pub(super) const FOR_EVER: &str = "000001010000Z";
/// `ACCOUNTDISABLE` of `userAccountControl` (MS-ADTS 2.2.16).
pub(super) const ACCOUNT_DISABLE: i64 = 0x2;

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
}

pub(super) fn control(value: Option<&str>, dn: &str) -> Result<i64, Failure> {
    value.and_then(|value| value.parse().ok()).ok_or_else(|| {
        Failure::Invalid(format!("{dn} has no `userAccountControl` that the host may read, as accounts have"))
    })
}
