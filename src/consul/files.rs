//! Files that the settings name. The library reads only regular files, also behind a symbolic link: a read of a FIFO
//! waits for a writer, and some devices never end. A file server may be gone, so callers do all this on an errand.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::{fs, fs::FileType};

/// How many entries a folder may have, those of its subfolders included.
const MOST: usize = 4_096;

/// The content of a regular file of `longest` bytes at most. An error names the path and what is wrong.
pub(super) fn read(path: &Path, longest: u64) -> Result<Vec<u8>, String> {
    let told = |error: io::Error| format!("{}: {error}", path.display());
    let file = OpenOptions::new()
        .read(true)
        // Without O_NONBLOCK the opening of a FIFO waits for a writer.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(told)?;
    let kind = file.metadata().map_err(told)?.file_type();
    if !kind.is_file() {
        return Err(format!("{} is {}, no file", path.display(), name(kind)));
    }
    let mut bytes = Vec::new();
    file.take(longest + 1)
        .read_to_end(&mut bytes)
        .map_err(told)?;
    match bytes.len() as u64 > longest {
        true => Err(format!("{} is longer than {longest} bytes", path.display())),
        false => Ok(bytes),
    }
}

fn name(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_dir() => "a folder",
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

/// The paths of all files in a folder and its subfolders, in the order of the names.
pub(super) fn all_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut folders = vec![folder.to_owned()];
    let mut found = Vec::new();
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let told = |error: io::Error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(told)? {
            seen += 1;
            if seen > MOST {
                return Err(format!("{} has more than {MOST} entries", folder.display()));
            }
            let path = entry.map_err(told)?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A stamp that differs after a file was replaced or written. None: there is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp(Option<(u64, u64, u64, [i64; 4])>);

impl Stamp {
    pub(super) fn of(path: &Path) -> Stamp {
        Stamp(fs::metadata(path).ok().map(|is| {
            let times = [is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec()];
            (is.dev(), is.ino(), is.size(), times)
        }))
    }
}
