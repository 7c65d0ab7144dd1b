//! Completion scripts and manual pages, from the same source as the help.

use std::fs;
use std::path::Path;

use haven_api::{ApiError, Code};

/// The completion script for `shell`.
pub(crate) fn completion(shell: clap_complete::Shell, command: &clap::Command) -> String {
    script(shell, offered(command))
}

fn script(shell: clap_complete::Shell, mut command: clap::Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "haven", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// What a script needs of `command`, without the commands below it that are hidden: those who write scripts heed that
/// of values only, and no command can be taken away once it is there.
fn offered(command: &clap::Command) -> clap::Command {
    // Clap owns no strings: they stay for the moments that this process still has.
    let own = |text: &str| -> &'static str { text.to_owned().leak() };
    let mut copy = clap::Command::new(own(command.get_name()))
        .args(command.get_arguments().cloned())
        .groups(command.get_groups().cloned())
        .visible_aliases(command.get_visible_aliases().map(own))
        .subcommands(command.get_subcommands().filter(|it| !it.is_hide_set()).map(offered));
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        copy = copy.version(own(version));
    }
    copy
}

/// The manual page of `command`, titled `title`.
pub(crate) fn page(title: &str, command: clap::Command) -> Result<String, ApiError> {
    let mut page = Vec::new();
    // `help` has no page that a list of commands could refer to.
    let rendered = clap_mangen::Man::new(command.disable_help_subcommand(true))
        .title(title)
        .section("8")
        .render(&mut page);
    rendered.map_err(|error| {
        ApiError::new(Code::Internal, format!("cannot write the manual page: {error}"))
    })?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// Writes a page for `command` and each command below it that is meant for people into `folder`; returns how many.
pub(crate) fn pages(command: clap::Command, folder: &Path) -> Result<usize, ApiError> {
    let failed = |path: &Path, error: std::io::Error| {
        ApiError::new(Code::Failed, format!("cannot write {}: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut open = vec![(String::new(), command)];
    let mut written = 0;
    while let Some((prefix, command)) = open.pop() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_without_hidden_commands_lacks_nothing_else() {
        for shell in
            [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish]
        {
            let command = || crate::command(&[]);
            let hidden = clap::Command::new("veiled").hide(true);
            assert!(script(shell, command().subcommand(hidden.clone())).contains("veiled"));
            let with_it = completion(shell, &command().subcommand(hidden));
            assert_eq!(with_it, script(shell, command()), "{shell}");
        }
    }
}
