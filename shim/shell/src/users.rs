//! Names of users and groups, from the container's `/etc/passwd` and `/etc/group` where the image has them.

use std::io::Read;

/// Most bytes of such a file that are read.
const LIMIT: u64 = 256 << 10;

/// The name of a user.
pub(crate) fn user(id: u32) -> Option<String> {
    name("/etc/passwd", id)
}

/// The name of a group.
pub(crate) fn group(id: u32) -> Option<String> {
    name("/etc/group", id)
}

fn name(path: &str, id: u32) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(LIMIT).read_to_string(&mut text).ok()?;
    find(&text, id).map(str::to_owned)
}

/// Both files begin with the name, a password and the number.
fn find(text: &str, id: u32) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_is_found_by_its_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\napp:x:1000:1000::/:\n";
        assert_eq!(super::find(text, 1000), Some("app"));
        assert_eq!(super::find(text, 1), None);
    }
}
