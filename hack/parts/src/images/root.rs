//! The files of an image.

use std::{
    collections::BTreeMap,
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::SystemTime,
};

use super::Error;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Folder { mode: u32 },
    File { mode: u32, contents: Vec<u8> },
}

/// Files and folders by their paths from the root on, without a slash before them. All belong to
/// root and date from 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root(BTreeMap<String, Entry>);

impl Root {
    #[must_use]
    pub fn and_file(self, path: &str, mode: u32, contents: impl Into<Vec<u8>>) -> Self {
        self.and(path, Entry::File { mode, contents: contents.into() })
    }

    #[must_use]
    pub fn and_folder(self, path: &str, mode: u32) -> Self {
        self.and(path, Entry::Folder { mode })
    }

    /// Adds `entry`, and the folders above it.
    fn and(mut self, path: &str, entry: Entry) -> Self {
        let path = path.trim_start_matches('/');
        for (slash, _) in path.match_indices('/') {
            let above = path[..slash].to_owned();
            self.0.entry(above).or_insert(Entry::Folder { mode: 0o755 });
        }
        self.0.insert(path.to_owned(), entry);
        self
    }

    /// In the order of their paths, so that a folder comes before what it has.
    #[must_use]
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry))
    }

    /// Lays the files out in `folder`, which must not be there yet.
    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder).map_err(Error::at(folder))?;
        for (path, entry) in self.entries() {
            let path = folder.join(path);
            match entry {
                Entry::Folder { .. } => fs::create_dir(&path),
                Entry::File { contents, .. } => fs::write(&path, contents),
            }
            .map_err(Error::at(&path))?;
        }
        // Last first, because writing into a folder changes its time.
        for (path, entry) in self.entries().rev() {
            let path = folder.join(path);
            let (Entry::Folder { mode } | Entry::File { mode, .. }) = entry;
            fs::set_permissions(&path, Permissions::from_mode(*mode))
                .and_then(|()| File::open(&path)?.set_modified(SystemTime::UNIX_EPOCH))
                .map_err(Error::at(&path))?;
        }
        Ok(())
    }

    /// Writes a tar archive of all.
    pub(super) fn archive(&self, to: impl Write) -> io::Result<()> {
        let mut archive = tar::Builder::new(to);
        for (path, entry) in self.entries() {
            let mut header = tar::Header::new_ustar();
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            match entry {
                Entry::Folder { mode } => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(*mode);
                    header.set_size(0);
                    archive.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Entry::File { mode, contents } => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_mode(*mode);
                    header.set_size(contents.len() as u64);
                    archive.append_data(&mut header, path, contents.as_slice())?;
                }
            }
        }
        archive.finish()
    }
}
