//! Rules of this repository that a test can hold: what a comment cites exists, paths that documents name exist, files
//! stay short and say what they are, and modules import only what they may.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use courtside::error::Code;

const CODE: [&str; 6] = ["src", "tests", "benches", "www", "bin", "scripts"];
const CODE_ENDINGS: [&str; 3] = [".rs", ".mjs", ".js"];
/// What is installed or built, not written.
const NOT_OURS: [&str; 3] = ["node_modules", "target", "vendor"];

const FILE_MAX_LINES: usize = 500;

const COMMENT_MAX_COLUMNS: usize = 120;

/// Modules that know each other by calls alone.
const APART: [(&str, &str); 2] = [("channel", "relay"), ("relay", "channel")];

/// A file, by its path from the repository's root.
struct File {
    path: String,
    text: String,
}

impl File {
    /// The module of the crate that it is a part of, at the top.
    fn module(&self) -> &str {
        let inside = self.path.trim_start_matches("src/");
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// How many names its module's path has.
    fn depth(&self) -> usize {
        let inside = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        if inside == "lib" { 0 } else { inside.split('/').count() }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder whose names end so, those of the folders in it included.
fn files(folder: &str, endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).expect("a folder of this repository") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        let path = format!("{folder}/{name}");
        if entry.file_type().expect("a type").is_dir() {
            if !NOT_OURS.contains(&name.as_str()) {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            let text = fs::read_to_string(root().join(&path)).expect("a text");
            found.push(File { path, text });
        }
    }
    found
}

fn code() -> Vec<File> {
    CODE.iter().flat_map(|folder| files(folder, &CODE_ENDINGS)).collect()
}

fn source() -> Vec<File> {
    files("src", &[".rs"])
}

/// Whether a path may hold this.
fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./".contains(c)
}

fn is_comment(line: &str) -> bool {
    ["//", "/*", "*"].iter().any(|mark| line.trim_start().starts_with(mark))
}

fn assert_none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

// What is cited.

/// Comments and code as one running text, so that a citation may go on in the next line.
fn running(text: &str) -> String {
    let words = text.lines().map(|line| line.trim_start().trim_start_matches(['/', '!', '*']).trim());
    words.collect::<Vec<_>>().join(" ")
}

/// The citations of a text, as document and section: `a.md § 5, § 8.2` are two of a.md, `a.md §§ 4–6` are three.
fn citations(text: &str) -> Vec<(String, String)> {
    let text = running(text);
    let mut found = Vec::new();
    for (at, _) in text.match_indices(".md §") {
        let before = &text[..at];
        let document = &before[before.trim_end_matches(is_of_a_name).len()..];
        let document = document.trim_start_matches("docs/");
        let sections = sections_from(&text[at + ".md".len()..]);
        found.extend(sections.into_iter().map(|section| (format!("{document}.md"), section)));
    }
    found
}

/// The sections at the start of what follows a document's name.
fn sections_from(mut rest: &str) -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    loop {
        let is_range = rest.starts_with('–');
        let number_at = rest.trim_start_matches([' ', '§', ',', '–']);
        let length = number_at.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(number_at.len());
        let number = number_at[..length].trim_end_matches('.');
        if number.is_empty() {
            return sections;
        }
        match sections.last().filter(|_| is_range).cloned() {
            Some(first) => sections.extend(between(&first, number)),
            None => sections.push(number.to_owned()),
        }
        rest = &number_at[number.len()..];
    }
}

/// The sections behind the first up to the last, which differ in their last part.
fn between(first: &str, last: &str) -> Vec<String> {
    let split = |text: &str| {
        let (chapter, number) = text.rsplit_once('.').map_or(("", text), |(chapter, number)| (chapter, number));
        (chapter.to_owned(), number.parse::<u32>().expect("a number of a section"))
    };
    let ((chapter, from), (_, to)) = (split(first), split(last));
    let full = |number: u32| if chapter.is_empty() { number.to_string() } else { format!("{chapter}.{number}") };
    (from + 1..=to).map(full).collect()
}

/// The numbers that a document's headings begin with; none when there is no such document.
fn headings(document: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("docs").join(document)).unwrap_or_default();
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles.filter_map(|title| title.split(' ').next()).map(|number| number.trim_end_matches('.').to_owned()).collect()
}

#[test]
fn citations_are_read_as_people_write_them() {
    let of = |text: &str| citations(text).into_iter().map(|(_, section)| section).collect::<Vec<_>>();
    assert_eq!(citations("(docs/p.md § 8.4)."), [("p.md".to_owned(), "8.4".to_owned())]);
    assert_eq!(of("/// one (p.md § 5, § 8.2), 7 more"), ["5", "8.2"]);
    assert_eq!(of("(p.md §§ 10, 12.2)"), ["10", "12.2"]);
    assert_eq!(of("(p.md §§ 8.2–8.5)"), ["8.2", "8.3", "8.4", "8.5"]);
    assert_eq!(of("//! told in p.md\n//! §§ 3, 8); holds"), ["3", "8"]);
    assert_eq!(of("p.md § 8.2 asks for 2. See q.md § 1."), ["8.2", "1"]);
    assert_eq!(of("p.md says so, in its § 3"), [] as [&str; 0]);
}

#[test]
fn every_section_that_code_cites_exists() {
    let cited: Vec<(String, String, String)> = code()
        .iter()
        .filter(|file| file.path != "tests/tidy.rs")
        .flat_map(|file| {
            citations(&file.text).into_iter().map(|(document, section)| (file.path.clone(), document, section))
        })
        .collect();
    assert!(cited.iter().any(|(path, ..)| path == "src/protocol/mod.rs"), "citations are found");
    let missing = cited.iter().filter(|(_, document, section)| !headings(document).contains(section));
    let told = missing.map(|(path, document, section)| format!("{path}: docs/{document} has no § {section}"));
    assert_none(told.collect(), "a comment cites a section that does not exist");
}

#[test]
fn every_path_that_a_document_names_exists() {
    let folders = ["src/", "tests/", "benches/", "docs/", "www/", "scripts/", ".ci/"];
    let mut missing = Vec::new();
    let mut named = 0;
    let top = ["README.md", "CONTRIBUTING.md", "SECURITY.md"]
        .map(|path| File { path: path.to_owned(), text: fs::read_to_string(root().join(path)).expect("a document") });
    for file in top.into_iter().chain(files("docs", &[".md"])) {
        for (at, _) in folders.iter().flat_map(|folder| file.text.match_indices(folder)) {
            let (before, rest) = file.text.split_at(at);
            let end = rest.find(|c| !is_of_a_name(c)).unwrap_or(rest.len());
            let is_pattern = rest[end..].starts_with(['*', '{', '<', '…']);
            if before.ends_with(is_of_a_name) || is_pattern {
                continue;
            }
            named += 1;
            let path = rest[..end].trim_end_matches('.');
            if !root().join(path).exists() {
                missing.push(format!("{}: {path}", file.path));
            }
        }
    }
    assert!(named > 20, "paths are found");
    assert_none(missing, "a document names a path that does not exist");
}

/// What a client is told by a number is explained there, once for each, in the order of the numbers.
#[test]
fn every_error_code_has_its_cause_and_cure() {
    let text = fs::read_to_string(root().join("docs/errors.md")).expect("a document");
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Code"));
    let known: Vec<String> = rows
        .map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" ").trim_start_matches("| ").to_owned())
        .collect();
    let codes: Vec<String> = Code::ALL.iter().map(|code| format!("{} {}", code.number(), code.status())).collect();
    assert_eq!(known, codes, "docs/errors.md and src/error.rs have the same codes");
}

// Files.

#[test]
fn files_stay_short() {
    let mut long = Vec::new();
    for file in code() {
        let lines = file.text.lines().count();
        if lines > FILE_MAX_LINES {
            long.push(format!("{} has {lines} lines", file.path));
        }
    }
    assert_none(long, &format!("a file has at most {FILE_MAX_LINES} lines"));
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent = source().into_iter().filter(|file| !file.text.starts_with("//!")).map(|file| file.path);
    assert_none(silent.collect(), "a source file opens with //!");
}

#[test]
fn comments_are_not_wider_than_code() {
    let mut wide = Vec::new();
    for folder in CODE {
        for file in files(folder, &CODE_ENDINGS) {
            for (index, line) in file.text.lines().enumerate() {
                if is_comment(line) && line.chars().count() > COMMENT_MAX_COLUMNS {
                    wide.push(format!("{}:{}", file.path, index + 1));
                }
            }
        }
    }
    assert_none(wide, &format!("a comment line has at most {COMMENT_MAX_COLUMNS} columns"));
}

// Imports.

/// What a file names of the crate, as paths from its root: by `crate::`, or by so many `super::` that they lead there.
fn imports(file: &File) -> Vec<String> {
    let lines = file.text.lines().filter(|line| !is_comment(line));
    lines.flat_map(|line| imports_of_line(line, file.depth())).collect()
}

fn imports_of_line(line: &str, depth: usize) -> Vec<String> {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let paths = line.split(|c| !name(c)).filter(|path| path.contains("::"));
    let from_root = |path: &str| {
        let below = path.trim_start_matches("super::");
        let ups = (path.len() - below.len()) / "super::".len();
        match path.strip_prefix("crate::") {
            Some(path) => Some(path.to_owned()),
            None => (ups > 0 && ups >= depth && !below.is_empty()).then(|| below.to_owned()),
        }
    };
    paths.filter_map(from_root).collect()
}

#[test]
fn imports_are_read_whatever_way_they_are_written() {
    assert_eq!(imports_of_line("use crate::relay::Relay;", 2), ["relay::Relay"]);
    assert_eq!(imports_of_line("    let x = crate::relay::X(crate::rpc::Y);", 1), ["relay::X", "rpc::Y"]);
    assert_eq!(imports_of_line("use super::super::relay::Relay;", 2), ["relay::Relay"]);
    assert_eq!(imports_of_line("use super::relay::Relay;", 2), [] as [&str; 0]);
}

/// One that no module declares is not compiled, and nobody is told.
#[test]
fn every_source_file_is_a_module() {
    let files = source();
    let is_declared = |path: &str| {
        let parent = path.trim_end_matches(".rs").trim_end_matches("/mod");
        let (folder, name) = parent.rsplit_once('/').unwrap_or(("", parent));
        let homes = [format!("{folder}.rs"), format!("{folder}/mod.rs"), format!("{folder}/lib.rs")];
        let mut parents = files.iter().filter(|file| homes.contains(&file.path));
        parents.any(|file| file.text.lines().any(|line| line.trim_end().ends_with(&format!("mod {name};"))))
    };
    let stray = files.iter().map(|file| file.path.as_str()).filter(|path| *path != "src/lib.rs" && !is_declared(path));
    assert_none(stray.map(str::to_owned).collect(), "no module declares this file");
}

/// The standard library's hash maps have no secret on this platform.
#[test]
fn hash_maps_are_our_own() {
    let others = source().into_iter().filter(|file| file.path != "src/base/maps.rs").flat_map(|file| {
        let lines: Vec<_> = file.text.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned())).collect();
        let is_other = |line: &str| line.contains("std::collections") && line.contains("Hash");
        let found = lines.into_iter().filter(move |(_, line)| is_other(line));
        found.map(move |(number, _)| format!("{}:{number}", file.path)).collect::<Vec<_>>()
    });
    assert_none(others.collect(), "hash maps are those of src/base/maps.rs");
}

/// The modules of the crate, in the order of `src/lib.rs`.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("a text");
    let declared =
        lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    declared.map(str::to_owned).collect()
}

/// So none imports, by whatever way, what imports it.
#[test]
fn modules_import_only_those_that_stand_before_them() {
    let modules = modules();
    let place = |module: &str| modules.iter().position(|known| known == module);
    let mut wrong = Vec::new();
    for file in source().into_iter().filter(|file| file.path != "src/lib.rs") {
        let own = place(file.module()).expect("a module of src/lib.rs");
        for import in imports(&file) {
            let module = import.split("::").next().unwrap_or_default();
            let is_apart = APART.contains(&(file.module(), module));
            // What a list after `crate::` holds is not looked at, so there must be none.
            if is_apart || place(module).is_none_or(|imported| imported > own) {
                wrong.push(format!("{}: {import}", file.path));
            }
        }
    }
    assert!(modules.len() > 10, "modules are found");
    assert_none(wrong, "a module imports what stands behind it in src/lib.rs, or apart from it");
}

/// Who comes in, and to which object, is decided in src/router.
#[test]
fn the_shell_lets_nobody_in_by_itself() {
    const DECIDING: [&str; 6] = ["Credentials", "Attempts", "Grant", "Opening", "Placement", "LoadMap"];
    let shell = source().into_iter().filter(|file| file.module() == "shell");
    let found = shell.flat_map(|file| {
        let words: Vec<&str> = file.text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let named = DECIDING.iter().filter(|word| words.contains(word));
        named.map(|word| format!("{}: {word}", file.path)).collect::<Vec<_>>()
    });
    assert_none(found.collect(), "the shell performs and decides nothing");
}
