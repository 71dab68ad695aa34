//! Who else may open a file, where an access-control list says so: of a file with one, the group's permission bits are the most
//! that any entry of the list gives, and not what the group has.

use std::fs::File;

const ACL: &str = "system.posix_acl_access";
/// The longest list that is looked at. One that is longer names many.
const LONGEST: usize = 256;

/// The permission bits of an open file that concern others than this user. systemd lets a service read its credentials by a list
/// with nobody else on it: their group bits are nobody's.
pub(crate) fn bits(file: &File, mode: u32) -> u32 {
    let mut list = [0; LONGEST];
    let alone = mode & 0o070 != 0
        && rustix::fs::fgetxattr(file, ACL, &mut list[..])
            .is_ok_and(|length| names_nobody_else(&list[..length], rustix::process::geteuid().as_raw()));
    if alone { mode & !0o070 } else { mode }
}

/// Whether a list gives nothing to any group, nor to any user by name but this one. False for a list of another form.
fn names_nobody_else(list: &[u8], user: u32) -> bool {
    const NAMED_USER: u16 = 0x02;
    const GROUP: u16 = 0x04;
    const NAMED_GROUP: u16 = 0x08;
    // Version 2: entries of a tag, permissions and an id, each in little endian.
    let Some((&[2, 0, 0, 0], entries)) = list.split_first_chunk() else { return false };
    let (entries, []) = entries.as_chunks::<8>() else { return false };
    entries.iter().all(|entry| {
        let [tag, may] = [[entry[0], entry[1]], [entry[2], entry[3]]].map(u16::from_le_bytes);
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        match tag {
            NAMED_USER => may == 0 || id == user,
            GROUP | NAMED_GROUP => may == 0,
            // Its owner, the mask, and all others, whose bits are those of the mode.
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::names_nobody_else;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut list = vec![2, 0, 0, 0];
        for (tag, may, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(may.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list
    }

    #[test]
    fn only_a_list_with_nobody_else_on_it_is_this_users_own() {
        const NONE: u32 = u32::MAX;
        let with = |more: &[(u16, u16, u32)]| {
            let all = [(0x01, 4, NONE), (0x02, 4, 998), (0x04, 0, NONE), (0x10, 4, NONE), (0x20, 0, NONE)];
            list(&[&all, more].concat())
        };
        assert!(names_nobody_else(&with(&[]), 998));
        assert!(!names_nobody_else(&with(&[]), 997), "another user's");
        assert!(!names_nobody_else(&with(&[(0x02, 4, 997)]), 998), "another user's too");
        assert!(names_nobody_else(&with(&[(0x02, 0, 997)]), 998));
        assert!(!names_nobody_else(&with(&[(0x08, 4, 100)]), 998), "a group's too");
        let group = list(&[(0x01, 4, NONE), (0x04, 4, NONE), (0x20, 0, NONE)]);
        assert!(!names_nobody_else(&group, 998));
        for strange in [&b""[..], b"\x02\0\0", b"\x03\0\0\0", &with(&[])[..13]] {
            assert!(!names_nobody_else(strange, 998), "{strange:?}");
        }
    }
}
