//! Completion scripts and manual pages, from the same source as the help.

use std::fs;
use std::path::Path;

use haven_api::{ApiError, Code};

/// The completion script for `shell`.
pub(crate) fn completion(shell: clap_complete::Shell, mut command: clap::Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "haven", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of `command`, titled `title`.
pub(crate) fn page(title: &str, command: clap::Command) -> Result<String, ApiError> {
    let mut page = Vec::new();
    let rendered = clap_mangen::Man::new(command).title(title).section("8").render(&mut page);
    rendered.map_err(|error| {
        ApiError::new(Code::Internal, format!("cannot write the manual page: {error}"))
    })?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Writes a page for `command` and each command below it that is meant for people into `folder`; returns how many.
pub(crate) fn pages(mut command: clap::Command, folder: &Path) -> Result<usize, ApiError> {
    let failed = |path: &Path, error: std::io::Error| {
        ApiError::new(Code::Failed, format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    command.build();
    let mut open = vec![(String::new(), command)];
    let mut written = 0;
    while let Some((prefix, command)) = open.pop() {
        if command.get_name() == "help" {
            continue;
        }
        let name = format!("{prefix}{}", command.get_name());
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            open.push((format!("{name}-"), below.clone()));
        }
        let path = folder.join(format!("{name}.8"));
        fs::write(&path, page(&name, command)?).map_err(|error| failed(&path, error))?;
        written += 1;
    }
    Ok(written)
}
