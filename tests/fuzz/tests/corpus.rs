//! The corpus of every decoder, whole, cut and damaged. `HAVEN_FUZZ_ROUNDS` sets how often each input
//! is damaged; a failing input is left in a file that the failure names.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "tests fail by panicking"
)]

mod made;

use std::path::{Path, PathBuf};

use haven_base::Rng;
use haven_fuzz_tests::{DECODERS, Decoder};

/// Inputs of each decoder at least.
const LEAST: usize = 4;
/// Inputs up to this length are cut at every byte.
const CUT_EVERYWHERE: usize = 1_500;

fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries =
        std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

fn feed(decoder: Decoder, name: &str, of: &Path, bytes: &[u8]) {
    if std::panic::catch_unwind(|| decoder(bytes)).is_err() {
        let kept = std::env::temp_dir().join(format!("haven-{name}-failing-input"));
        std::fs::write(&kept, bytes).unwrap();
        panic!("{name}: damage to {} is not survived; see {}", of.display(), kept.display());
    }
}

/// One to four damages: bits turned, bytes set, doubled, dropped, or taken from elsewhere in it.
fn damaged(rng: &mut Rng, bytes: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(out.len() as u64 + 1) as usize;
        let other = rng.below(out.len() as u64 + 1) as usize;
        let length = rng.below(16) as usize;
        match rng.below(6) {
            0 => out.truncate(at),
            1 => out.insert(at, rng.below(256) as u8),
            2 if at < out.len() => out[at] ^= 1 << rng.below(8),
            3 if at < out.len() => out[at] = [0, 1, 0x7f, 0x80, 0xff][rng.below(5) as usize],
            4 => {
                let end = (at + length).min(out.len());
                out.drain(at..end);
            }
            _ => {
                let end = (other + length).min(out.len());
                let part = out[other.min(end)..end].to_vec();
                out.splice(at..at, part);
            }
        }
    }
    out
}

fn survive(name: &str) {
    let (_, decoder) = DECODERS.iter().find(|(known, _)| *known == name).unwrap();
    let files = corpus(name);
    assert!(files.len() >= LEAST, "{name} has {} inputs, {LEAST} are the least", files.len());
    let rounds = std::env::var("HAVEN_FUZZ_ROUNDS").map_or(300, |text| text.parse().unwrap());
    let mut rng = Rng::new(1);
    for (file, bytes) in &files {
        feed(*decoder, name, file, bytes);
        let step = if bytes.len() <= CUT_EVERYWHERE { 1 } else { bytes.len() / CUT_EVERYWHERE };
        for end in (0..bytes.len()).step_by(step) {
            feed(*decoder, name, file, &bytes[..end]);
        }
        for _ in 0..rounds {
            feed(*decoder, name, file, &damaged(&mut rng, bytes));
        }
    }
}

/// One test a decoder, so that they run side by side and a failure names it.
macro_rules! decoders {
    ($(fn $name:ident();)*) => {
        $(#[test]
        fn $name() {
            survive(stringify!($name));
        })*

        #[test]
        fn every_decoder_is_tested_and_every_folder_is_a_decoders() {
            let tested = [$(stringify!($name)),*];
            let known: Vec<&str> = DECODERS.iter().map(|(name, _)| *name).collect();
            assert_eq!(tested.as_slice(), known);
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
            let mut folders: Vec<String> = std::fs::read_dir(corpus)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            folders.sort();
            assert_eq!(folders, known);
        }
    };
}

decoders! {
    fn beat();
    fn channel();
    fn cib();
    fn command();
    fn config();
    fn consensus();
    fn control();
    fn crm();
    fn express();
    fn frame();
    fn handover();
    fn join();
    fn metadata();
    fn neighbour();
    fn records();
    fn segment();
    fn snapshot();
    fn token();
}

/// The inputs that this program makes are still what it reads: a changed format shows here first.
/// `HAVEN_FUZZ_WRITE=1` puts them into the corpus in place of those made before.
#[test]
fn what_is_made_today_is_read_today() {
    let write = std::env::var_os("HAVEN_FUZZ_WRITE").is_some();
    for (name, inputs) in made::inputs() {
        let (_, decoder) = DECODERS.iter().find(|(known, _)| *known == name).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        for (file, bytes) in inputs {
            decoder(&bytes);
            if write {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(file), bytes).unwrap();
            }
        }
    }
}
