//! The interactive shell: the commands of `haven` and the lines of a configuration, with completion from the
//! cluster as it is, help, and history; or one command a line from standard input.
//!
//! ```text
//! line ──▶ command (as on the command line)      ──▶ run
//!      └─▶ declaration (`primitive …`)           ──▶ configure load
//! Tab  ──▶ Snapshot (asked of the daemon) ──▶ complete: pure ──▶ candidates
//! ```

pub(crate) mod complete;
mod help;
pub(crate) mod snapshot;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use haven_api::{ApiError, Code, Format, ReplyBody, RequestBody};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Context, Editor, Helper, Highlighter, Hinter, Validator};

use crate::output::Output;
use crate::run::Extra;
use crate::{Client, Daemon, commands};
use snapshot::{Node, Parameter, Snapshot};

/// How long Tab waits for the daemon.
const PATIENCE: Duration = Duration::from_millis(500);
/// Lines of history kept.
const HISTORY: usize = 1_000;

/// What the shell works with.
pub(crate) struct Shell<'a> {
    pub(crate) config: &'a Path,
    pub(crate) daemon: &'a dyn Daemon,
    pub(crate) extras: &'a [Extra<'a>],
}

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    Nothing,
    Quit,
    Help(Vec<String>),
    Declare(String),
    Command(Vec<String>),
    Wrong(String),
}

/// True where a person sits at both ends.
pub(crate) fn at_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

impl Shell<'_> {
    /// Reads and carries out lines until the end: a person's until `quit`, a script's until one fails, whose
    /// exit code is the answer.
    pub(crate) fn run(&self, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
        if at_terminal() {
            return self.interactive(out, err);
        }
        let mut number = 0_u32;
        let mut pending = String::new();
        for line in io::stdin().lock().lines() {
            number += 1;
            let Ok(line) = line else { return Code::BadData.exit_code() };
            if let Some(start) = line.strip_suffix('\\') {
                pending.push_str(start);
                pending.push(' ');
                continue;
            }
            pending.push_str(&line);
            match self.carry_out(&std::mem::take(&mut pending), out, err) {
                Some(0) => {}
                Some(code) => {
                    // There is nobody to tell when writing fails.
                    drop(writeln!(err, "haven: line {number} failed; the rest was not tried"));
                    return code;
                }
                None => return 0,
            }
        }
        0
    }

    fn interactive(&self, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
        let settings = Config::builder()
            .completion_type(CompletionType::List)
            .max_history_size(HISTORY)
            .map(|builder| builder.auto_add_history(true).build());
        let editor = settings.and_then(Editor::<Assistant<'_>, FileHistory>::with_config);
        let mut editor = match editor {
            Ok(editor) => editor,
            Err(error) => {
                let error = ApiError::new(Code::Failed, format!("cannot read lines: {error}"));
                return Output::new(false, out, err).failure(&error);
            }
        };
        editor.set_helper(Some(Assistant { shell: self, known: RefCell::new(self.snapshot()) }));
        let history = history_file();
        if let Some(file) = &history {
            // There is none the first time.
            let _loaded = editor.load_history(file);
        }
        drop(writeln!(
            out,
            "Commands and lines of a configuration; Tab completes, `help X` explains, `quit` ends."
        ));
        let prompt = self.prompt();
        loop {
            match editor.readline(&prompt) {
                Ok(line) => {
                    if self.carry_out(&line, out, err).is_none() {
                        break;
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(_) => break,
            }
        }
        if let Some(file) = &history {
            // A history that cannot be kept is no reason to fail.
            let _saved = editor.save_history(file);
        }
        0
    }

    fn prompt(&self) -> String {
        match self.ask(RequestBody::Hello) {
            Some(ReplyBody::Hello(hello)) => format!("haven({}/{})> ", hello.cluster, hello.node),
            Some(_) | None => "haven(no daemon)> ".to_owned(),
        }
    }

    /// The exit code of what a line asks for; none when it ends the shell.
    fn carry_out(&self, line: &str, out: &mut dyn Write, err: &mut dyn Write) -> Option<u8> {
        let commands = Node::of(&crate::run::command(self.extras));
        let mut output = Output::new(false, out, err);
        let result = match meant(line, &commands) {
            Line::Nothing => return Some(0),
            Line::Quit => return None,
            Line::Wrong(text) => Err(ApiError::new(Code::Usage, text)),
            Line::Declare(text) => commands::declare(text, self.config, self.daemon, &mut output),
            Line::Help(words) => match self.help(&words, &commands) {
                Some(text) => output.raw(&text).map(|()| 0),
                None => {
                    let mut typed = vec!["haven".to_owned()];
                    typed.extend(words);
                    typed.push("--help".to_owned());
                    return Some(self.typed(typed, out, err));
                }
            },
            Line::Command(words) => {
                let mut typed = vec!["haven".to_owned()];
                typed.extend(words);
                typed.push("--config".to_owned());
                typed.push(self.config.display().to_string());
                return Some(self.typed(typed, out, err));
            }
        };
        Some(result.unwrap_or_else(|error| output.failure(&error)))
    }

    fn typed(&self, words: Vec<String>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
        let words = words.into_iter().map(OsString::from);
        crate::run::run(words, self.daemon, self.extras, out, err)
    }

    fn help(&self, words: &[String], commands: &Node) -> Option<String> {
        let [name] = words else { return None };
        if commands.child(name).is_some() {
            return None;
        }
        let mut known = self.snapshot();
        self.learn(name, &mut known);
        Some(help::about(name, &known).unwrap_or_else(|| {
            format!("nothing is known of \"{name}\": help explains commands, options, attributes and agents\n")
        }))
    }

    fn ask(&self, body: RequestBody) -> Option<ReplyBody> {
        let mut client = Client::connect(&self.daemon.control_socket(self.config).ok()?).ok()?;
        client.call_with(body, Some(PATIENCE), &mut |_| Ok(())).ok()
    }

    /// The cluster as it is; what cannot be learnt now is empty.
    fn snapshot(&self) -> Snapshot {
        let mut known = Snapshot {
            commands: Node::of(&crate::run::command(self.extras)),
            agents: self.daemon.agents(self.config),
            ..Snapshot::default()
        };
        self.refresh(&mut known);
        known
    }

    fn refresh(&self, known: &mut Snapshot) {
        if let Some(ReplyBody::Configuration { text, .. }) =
            self.ask(RequestBody::ConfigureShow { format: Format::Json })
            && let Ok(cib) = serde_json::from_str(&text)
        {
            known.cib = cib;
        }
        if let Some(ReplyBody::Status(status)) = self.ask(RequestBody::Status) {
            known.nodes = status.nodes.iter().map(|node| node.name.clone()).collect();
        }
    }

    /// Asks for the parameters of an agent that are not known yet.
    fn learn(&self, agent: &str, known: &mut Snapshot) {
        if agent.contains(':') && !known.parameters.contains_key(agent) {
            let parameters: BTreeMap<String, Parameter> =
                self.daemon.parameters(self.config, agent);
            if !parameters.is_empty() {
                known.parameters.insert(agent.to_owned(), parameters);
            }
        }
    }
}

/// What a line means.
fn meant(line: &str, commands: &Node) -> Line {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Line::Nothing;
    }
    let plain: Vec<&str> = line.split_whitespace().collect();
    let own = plain.first() == Some(&"configure")
        && commands
            .child("configure")
            .is_some_and(|c| plain.get(1).is_some_and(|w| c.child(w).is_none()))
        && complete::declares(plain.get(1..).unwrap_or_default(), &Node::default());
    if own {
        let text = line.strip_prefix("configure").unwrap_or(line);
        return Line::Declare(text.trim_start().to_owned());
    }
    if complete::declares(&plain, commands) {
        return Line::Declare(line.to_owned());
    }
    if let Some(text) = complete::misspelt(&plain, commands) {
        return Line::Wrong(text);
    }
    let mut words = match words(line) {
        Ok(words) => words,
        Err(text) => return Line::Wrong(text),
    };
    if complete::is_of_configure(&plain, commands) {
        words.insert(0, "configure".to_owned());
    }
    match words.first().map(String::as_str) {
        Some("quit" | "exit" | "bye") => Line::Quit,
        Some("help" | "?") => Line::Help(words.get(1..).unwrap_or_default().to_vec()),
        Some("shell") => Line::Wrong("this is the shell already".to_owned()),
        Some("node") if words.get(1).is_some_and(|word| word == "run") => {
            Line::Wrong("the daemon is not run from a shell: haven node run".to_owned())
        }
        Some(_) | None => Line::Command(words),
    }
}

/// Words separated by blanks; quotes keep blanks.
fn words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in line.chars() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => words.extend(word.take()),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(format!("the quote {open} is not closed")),
        None => Ok(words),
    }
}

fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let folder = state.or_else(home)?.join("haven");
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// Completes lines from what the daemon says at that moment.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Assistant<'a> {
    shell: &'a Shell<'a>,
    known: RefCell<Snapshot>,
}

impl Completer for Assistant<'_> {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let mut known = self.known.borrow_mut();
        self.shell.refresh(&mut known);
        let agents: Vec<String> = line
            .split_whitespace()
            .filter_map(|word| match word.split_once('.') {
                Some((object, _)) => known.agent_of(object),
                None => word.contains(':').then(|| word.to_owned()),
            })
            .collect();
        for agent in agents {
            self.shell.learn(&agent, &mut known);
        }
        let (start, found) = complete::candidates(line, cursor, &known);
        let pairs = found.into_iter().map(|candidate| {
            let blank = if candidate.text.ends_with(['=', ':']) { "" } else { " " };
            let display = if candidate.about.is_empty() {
                candidate.text.clone()
            } else {
                format!("{}  ({})", candidate.text, candidate.about)
            };
            Pair { display, replacement: format!("{}{blank}", candidate.text) }
        });
        Ok((start, pairs.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_a_declaration_or_for_the_shell() {
        let commands = complete::tests::snapshot().commands;
        let told = |line: &str| meant(line, &commands);
        let command =
            |words: &[&str]| Line::Command(words.iter().map(|w| (*w).to_owned()).collect());
        assert_eq!(told("  "), Line::Nothing);
        assert_eq!(told("# a comment"), Line::Nothing);
        assert_eq!(told("quit"), Line::Quit);
        assert_eq!(told("resource move vip 'n 2'"), command(&["resource", "move", "vip", "n 2"]));
        assert_eq!(told("node standby n1"), command(&["node", "standby", "n1"]));
        assert_eq!(told("configure show"), command(&["configure", "show"]));
        assert_eq!(told("delete a b"), command(&["configure", "delete", "a", "b"]));
        assert_eq!(told("set a.b 'c d'"), command(&["configure", "set", "a.b", "c d"]));
        let line = "primitive a lsb:b params x=\"1 2\"";
        assert_eq!(told(line), Line::Declare(line.to_owned()));
        assert_eq!(told(&format!("configure {line}")), Line::Declare(line.to_owned()));
        assert_eq!(told("help resource move"), Line::Help(vec!["resource".into(), "move".into()]));
        for wrong in ["status \"x", "shell", "node run"] {
            assert!(matches!(told(wrong), Line::Wrong(_)), "{wrong}");
        }
        for (typed, word, meant) in [
            ("primitve a lsb:b", "primitve", "primitive"),
            ("configure primitve a lsb:b", "primitve", "primitive"),
            ("colocatin c inf: a b", "colocatin", "colocation"),
            ("locaton l a 5: n1", "locaton", "location"),
        ] {
            let text = format!(
                "\"{word}\" is no command and starts no declaration; did you mean \"{meant}\"?"
            );
            assert_eq!(told(typed), Line::Wrong(text));
        }
        // The command line knows best what it was asked for.
        assert_eq!(told("staus"), command(&["staus"]));
        assert_eq!(told("resource mve a"), command(&["resource", "mve", "a"]));
    }
}
