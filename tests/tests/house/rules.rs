//! The rules of the house.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;
use syn::{ImplItemFn, Item, ItemFn, ItemMod, TraitItemFn};

use crate::imports::{Import, imports};
use crate::tree::{Finding, Source, Tree, attributes, for_tests};

/// Of a room (a folder with all below it): which rooms its files do not know.
const KNOWS_NOT: [(&str, &[&str]); 7] = [
    ("pm-common/src/policy", &["pm-"]),
    ("pm-common/src/kernel", &["pm-common/src/app", "pm-common/src/supervise", "pm-common/src/cli"]),
    ("pm-common/src/sys", &["pm-common/src/app", "pm-common/src/supervise", "pm-common/src/cli"]),
    ("pm-common/src/cli", &["pm-common/src/supervise"]),
    (
        "pm-cluster/src/sockets",
        &[
            "pm-cluster/src/node",
            "pm-common/src/node",
            "pm-cluster/src/command",
            "pm-cluster/src/bind",
            "pm-cluster/src/care",
            "pm-cluster/src/cluster",
        ],
    ),
    ("pm-cluster/src/care", &["pm-cluster/src/node", "pm-cluster/src/bind"]),
    ("pm-cluster/src/node", &["pm-cluster/src/cluster", "pm-cluster/src/care", "pm-cluster/src/bind"]),
];

/// How many lines a function may have, from its `fn` to its last brace.
const LONGEST_FUNCTION: usize = 60;
/// How many lines a file may have, with the tests in it.
const LONGEST_FILE: usize = 400;

/// All that the tree does against the rules.
pub(crate) fn findings(tree: &Tree) -> BTreeSet<Finding> {
    let mut found = BTreeSet::new();
    let imports = imports(tree);
    strangers(&imports, &mut found);
    circles(&imports, &mut found);
    type_names(tree, &mut found);
    module_style(tree, &mut found);
    for (path, source) in tree {
        file_length(path, source, &mut found);
        Functions { path, found: &mut found }.visit_file(&source.parsed);
        misplaced_tests(path, source, &mut found);
        subjects(path, source, &mut found);
        words(path, source, &mut found);
    }
    found
}

fn breach(found: &mut BTreeSet<Finding>, file: &str, line: usize, rule: impl Into<String>) {
    found.insert(Finding { file: file.to_owned(), line, rule: rule.into() });
}

/// Says whether a file is in a room: `room.rs`, or anything in the folder `room`.
fn is_in(file: &str, room: &str) -> bool {
    file.strip_prefix(room).is_some_and(|rest| room.ends_with('-') || rest == ".rs" || rest.starts_with('/'))
}

/// Who may know whom. Named is also who is only on the way: what a room exports again is a piece of that room.
fn strangers(imports: &BTreeSet<Import>, found: &mut BTreeSet<Finding>) {
    let mut said = BTreeSet::new();
    for import in imports {
        for (room, unknown) in KNOWS_NOT.iter().filter(|(room, _)| is_in(&import.from, room)) {
            let mut on_the_way = import.through.iter().chain([&import.to]).filter(|file| !is_in(file, room));
            // The first line of a file that names a stranger is enough.
            if let Some(stranger) = on_the_way.rfind(|file| unknown.iter().any(|other| is_in(file, other)))
                && said.insert((&import.from, stranger))
            {
                let (path, name) = (&import.path, name_of(room));
                breach(found, &import.from, import.line, format!("{name} must not know {stranger} (`{path}`)"));
            }
        }
    }
}

fn name_of(room: &str) -> &str {
    room.rsplit('/').next().unwrap_or(room)
}

/// No two files import each other. A room's `mod.rs` and the files in its folder are one: they may use each other, as
/// that is what a room is for. The root of a crate is no such room: what its files need has a file of its own.
fn circles(imports: &BTreeSet<Import>, found: &mut BTreeSet<Finding>) {
    let mut pairs: BTreeMap<(&str, &str), &Import> = BTreeMap::new();
    for import in imports {
        pairs.entry((&import.from, &import.to)).or_insert(import);
    }
    for ((from, to), import) in &pairs {
        if from < to && !is_room_of(from, to) && !is_room_of(to, from) && pairs.contains_key(&(to, from)) {
            let back = pairs[&(*to, *from)];
            let rule = format!(
                "imports {to} (`{}`), which imports this file at line {} (`{}`)",
                import.path, back.line, back.path
            );
            breach(found, from, import.line, rule);
        }
    }
}

fn is_room_of(room: &str, file: &str) -> bool {
    room.strip_suffix("mod.rs").is_some_and(|folder| file.starts_with(folder))
}

/// A type's name stands once in a crate, so that it says which one is meant.
fn type_names(tree: &Tree, found: &mut BTreeSet<Finding>) {
    let mut first: BTreeMap<(String, String), (String, usize)> = BTreeMap::new();
    for (path, source) in tree {
        let package = path.split('/').next().unwrap_or_default();
        let mut types = Types::default();
        types.visit_file(&source.parsed);
        for (name, line) in types.0 {
            match first.get(&(package.to_owned(), name.clone())) {
                Some((file, at)) => {
                    breach(
                        found,
                        path,
                        line,
                        format!("a type `{name}` is at {file}:{at} already: choose a name that says more"),
                    );
                }
                None => _ = first.insert((package.to_owned(), name), (path.clone(), line)),
            }
        }
    }
}

#[derive(Default)]
struct Types(Vec<(String, usize)>);

impl<'a> Visit<'a> for Types {
    fn visit_item(&mut self, item: &'a Item) {
        if for_tests(attributes(item)) {
            return;
        }
        let name = match item {
            Item::Enum(it) => Some(&it.ident),
            Item::Struct(it) => Some(&it.ident),
            Item::Trait(it) => Some(&it.ident),
            Item::Type(it) => Some(&it.ident),
            Item::Union(it) => Some(&it.ident),
            _ => None,
        };
        self.0.extend(name.map(|name| (name.to_string(), name.span().start().line)));
        syn::visit::visit_item(self, item);
    }
}

/// A module with a folder is that folder's `mod.rs`.
fn module_style(tree: &Tree, found: &mut BTreeSet<Finding>) {
    for path in tree.keys() {
        let folder = format!("{}/", path.trim_end_matches(".rs"));
        if tree.keys().any(|other| other.starts_with(&folder)) {
            breach(found, path, 1, format!("stands beside its folder: name it {folder}mod.rs"));
        }
    }
}

fn file_length(path: &str, source: &Source, found: &mut BTreeSet<Finding>) {
    let lines = source.text.lines().count();
    if lines > LONGEST_FILE {
        breach(found, path, lines, format!("longer than {LONGEST_FILE} lines: split it"));
    }
}

struct Functions<'a> {
    path: &'a str,
    found: &'a mut BTreeSet<Finding>,
}

impl Functions<'_> {
    fn look_at(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (first, last) = (signature.fn_token.span.start().line, block.brace_token.span.close().end().line);
        let lines = last + 1 - first;
        if lines > LONGEST_FUNCTION {
            let rule = format!("`{}` has {lines} lines: split what is over {LONGEST_FUNCTION}", signature.ident);
            breach(self.found, self.path, first, rule);
        }
    }
}

impl<'a> Visit<'a> for Functions<'_> {
    fn visit_item_mod(&mut self, module: &'a ItemMod) {
        if !for_tests(&module.attrs) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'a ItemFn) {
        self.look_at(&function.sig, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a ImplItemFn) {
        self.look_at(&function.sig, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'a TraitItemFn) {
        if let Some(block) = &function.default {
            self.look_at(&function.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}

/// A file of tests is known by its path, so that every count of product code leaves out the same.
fn misplaced_tests(path: &str, source: &Source, found: &mut BTreeSet<Finding>) {
    for item in &source.parsed.items {
        if let Item::Mod(module) = item
            && module.content.is_none()
            && for_tests(&module.attrs)
            && module.ident != "tests"
            && !module.ident.to_string().ends_with("_tests")
        {
            let (name, line) = (&module.ident, module.ident.span().start().line);
            breach(found, path, line, format!("`{name}` is for tests alone: move it into `tests`"));
        }
    }
}

/// Words that stand for something that was named before, or nowhere.
const NO_SUBJECTS: [&str; 6] = ["It", "He", "They", "Their", "The same", "That"];

/// A documenting comment begins with what it speaks of: who comes from a search has not read what stands above it.
fn subjects(path: &str, source: &Source, found: &mut BTreeSet<Finding>) {
    let doc = |line: &str| Some(line.trim_start().strip_prefix("//")?.strip_prefix(['/', '!'])?.trim().to_owned());
    let begins = |text: &str, word: &str| text.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', ',']));
    let mut before = None;
    for (number, line) in (1..).zip(source.text.lines()) {
        let text = doc(line);
        let first = text.as_deref().filter(|_| before.is_none() && !source.in_test(number));
        let word = first.and_then(|text| NO_SUBJECTS.into_iter().find(|word| begins(text, word)));
        if let Some(word) = word {
            breach(found, path, number, format!("the comment begins with `{word}`: begin with what it speaks of"));
        }
        before = text;
    }
}

/// What must not stand in the code: a sleep anywhere, `unsafe` outside sys, a clock or I/O in policy.
fn words(path: &str, source: &Source, found: &mut BTreeSet<Finding>) {
    let mut words = Vec::new();
    words_in(source.tokens.clone(), &mut words);
    let pure = is_in(path, "pm-common/src/policy");
    for (at, (line, word)) in words.iter().enumerate().filter(|(_, (line, _))| !source.in_test(*line)) {
        let rule = match word.as_str() {
            "sleep" | "nanosleep" | "usleep" | "clock_nanosleep" => "a sleep: wait for an event or a deadline instead",
            "unsafe" if !is_in(path, "pm-common/src/sys") => "unsafe outside pm-common/src/sys",
            "Instant" | "SystemTime" | "rustix" | "nix" | "libc" if pure => {
                "policy is pure: no clock, no I/O, no process"
            }
            "fs" | "process" | "io" | "env" | "thread" if pure && at > 0 && words[at - 1].1 == "std" => {
                "policy is pure: no clock, no I/O, no process"
            }
            "TcpListener" | "TcpStream" | "UdpSocket" | "ToSocketAddrs" if pure => {
                "policy is pure: addresses, but no sockets"
            }
            _ => continue,
        };
        breach(found, path, *line, rule);
    }
}

fn words_in(tokens: TokenStream, found: &mut Vec<(usize, String)>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => words_in(group.stream(), found),
            TokenTree::Ident(word) => found.push((word.span().start().line, word.to_string())),
            _ => {}
        }
    }
}
