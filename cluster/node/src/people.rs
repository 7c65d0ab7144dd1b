//! Who asks, in words for the log of changes.

use std::fs;

/// The kernel's word for a process that nobody logged in for.
const NOBODY: u32 = u32::MAX;

/// The name of a caller by the credentials of its connection: `root`, `alice as root` where the login
/// session is another user's than the process, `uid 1000` where the user has no name in `/etc/passwd`.
pub(crate) fn author(uid: u32, pid: Option<i32>) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let login = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/loginuid")).ok());
    in_words(&users, uid, login.and_then(|text| text.trim().parse().ok()))
}

fn in_words(users: &str, uid: u32, login: Option<u32>) -> String {
    let own = name(users, uid);
    match login {
        Some(login) if login != NOBODY && login != uid => {
            format!("{} as {own}", name(users, login))
        }
        Some(_) | None => own,
    }
}

/// The user's name by the lines of `/etc/passwd`.
fn name(users: &str, uid: u32) -> String {
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_named_by_user_and_login() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbroken\n:x:7\nalice:x:1000:1000::/var/alice:\n";
        assert_eq!(in_words(users, 0, None), "root");
        assert_eq!(in_words(users, 0, Some(NOBODY)), "root", "a service");
        assert_eq!(in_words(users, 0, Some(0)), "root");
        assert_eq!(in_words(users, 0, Some(1000)), "alice as root");
        assert_eq!(in_words(users, 0, Some(1001)), "uid 1001 as root");
        assert_eq!(in_words(users, 7, None), "uid 7");
    }
}
