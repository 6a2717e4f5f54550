//! The names of the files of a recording with rotation: "feed-00001.pcapng" and so on.

use std::fs;
use std::path::{Path, PathBuf};

/// The file with this number.
pub(super) fn path(path: &Path, number: u64) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_os_string();
    name.push(format!("-{number:05}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// The highest number of the files that exist, so that a recording can continue after them; 0 if there are none.
pub(super) fn highest(path: &Path) -> u64 {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // If the folder cannot be listed, creating the file still fails rather than replaces one.
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let stem = path.file_stem().unwrap_or_default().as_encoded_bytes();
    let numbers = names.filter_map(|name| {
        let rest = name.as_encoded_bytes().strip_prefix(stem)?.strip_prefix(b"-")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&rest[..digits]).ok()?.parse::<u32>().ok()?.into();
        (self::path(path, number).file_name() == Some(&name)).then_some(number)
    });
    numbers.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_number_is_that_of_the_same_recording() {
        let folder = std::env::temp_dir().join(format!("multicast-numbered-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let feed = folder.join("feed.pcapng");
        assert_eq!(highest(&feed), 0);
        for name in ["feed-00007.pcapng", "feed-00012.pcap", "feed-9.pcapng", "feed-00011x.pcapng", "feed-.pcapng"] {
            fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(highest(&feed), 7);
        fs::write(path(&feed, 123_456), "").unwrap();
        assert_eq!(highest(&feed), 123_456);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(highest(&feed), 0);
    }
}
