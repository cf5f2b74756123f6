//! Which file of the product uses what of which other file: every path in the code, followed through the re-exports to
//! where the name is defined.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;
use syn::{Item, UseTree};

use crate::tree::{Source, Tree, attributes, for_tests};

/// A name of another file is used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    pub(crate) from: String,
    pub(crate) line: usize,
    /// As it is written.
    pub(crate) path: String,
    /// The file that defines the name.
    pub(crate) to: String,
    /// The files of the modules that the path leads through, `to` among them.
    pub(crate) through: BTreeSet<String>,
}

/// All imports of the product, with their lines.
pub(crate) fn imports(tree: &Tree) -> BTreeSet<Import> {
    let mut house = House { modules: Vec::new(), crates: BTreeMap::new() };
    for path in tree.keys() {
        let Some((package, rest)) = path.split_once("/src/") else { continue };
        if rest == "lib.rs" || rest == "main.rs" || (rest.starts_with("bin/") && !rest[4..].contains('/')) {
            let root = house.add_file(tree, path, None, rest.rsplit_once('/').map_or("", |(dir, _)| dir));
            if rest == "lib.rs" {
                house.crates.insert(package.replace('-', "_"), root);
            }
        }
    }
    let mut found = BTreeSet::new();
    for module in 0..house.modules.len() {
        house.look_at(module, &tree[&house.modules[module].file], &mut found);
    }
    found
}

enum Meaning {
    Module(usize),
    /// Defined in this module.
    Here,
    /// Imported, or exported again, from this path.
    Elsewhere(Vec<String>),
}

struct Module {
    file: String,
    parent: Option<usize>,
    names: BTreeMap<String, Vec<Meaning>>,
    globs: Vec<Vec<String>>,
    /// Where the module's `use` lines are, with their paths.
    uses: Vec<(usize, Vec<String>)>,
    /// Lines of inline modules, whose paths are theirs.
    lines: (usize, usize),
}

struct House {
    modules: Vec<Module>,
    crates: BTreeMap<String, usize>,
}

/// Where a path leads.
struct Target {
    file: String,
    through: BTreeSet<String>,
    module: Option<usize>,
}

impl House {
    /// Adds the module of a file and those below it. `dir` is the folder of its children, below `src`.
    fn add_file(&mut self, tree: &Tree, path: &str, parent: Option<usize>, dir: &str) -> usize {
        let source = &tree[path];
        self.add(tree, path, parent, dir, &source.parsed.items, (1, usize::MAX))
    }

    fn add(
        &mut self,
        tree: &Tree,
        path: &str,
        parent: Option<usize>,
        dir: &str,
        items: &[Item],
        lines: (usize, usize),
    ) -> usize {
        let (names, globs, uses) = (BTreeMap::new(), Vec::new(), Vec::new());
        self.modules.push(Module { file: path.to_owned(), parent, names, globs, uses, lines });
        let this = self.modules.len() - 1;
        let mut defined = Names::default();
        for item in items.iter().filter(|item| !for_tests(attributes(item))) {
            if let Item::Mod(module) = item {
                let name = module.ident.to_string();
                let child_dir = if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
                let child = match &module.content {
                    Some((_, items)) => {
                        let lines = crate::tree::lines_of(syn::spanned::Spanned::span(module));
                        Some(self.add(tree, path, Some(this), &child_dir, items, lines))
                    }
                    None => {
                        let src = path.split_once("/src/").expect("a path below src").0;
                        [format!("{src}/src/{child_dir}.rs"), format!("{src}/src/{child_dir}/mod.rs")]
                            .iter()
                            .find(|file| tree.contains_key(*file))
                            .map(|file| self.add_file(tree, file, Some(this), &child_dir))
                    }
                };
                if let Some(child) = child {
                    self.modules[this].names.entry(name).or_default().push(Meaning::Module(child));
                }
            } else {
                defined.visit_item(item);
            }
        }
        let module = &mut self.modules[this];
        for name in defined.defined {
            module.names.entry(name).or_default().push(Meaning::Here);
        }
        for (line, path, name) in defined.uses {
            if name == "*" {
                module.globs.push(path.clone());
            } else {
                module.names.entry(name).or_default().push(Meaning::Elsewhere(path.clone()));
            }
            module.uses.push((line, path));
        }
        this
    }

    /// The files that a path leads to, read in `module`. What is not of the product leads nowhere.
    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Vec<Target> {
        let Some(first) = path.first().filter(|_| depth < 16) else { return Vec::new() };
        let start = match first.as_str() {
            "crate" => Some(self.root(module)),
            "self" => Some(module),
            "super" => self.modules[module].parent,
            name if !self.modules[module].names.contains_key(name) => self.crates.get(name).copied(),
            _ => None,
        };
        match start {
            Some(start) => self.descend(start, &path[1..], depth),
            None if matches!(first.as_str(), "super" | "crate" | "self") => Vec::new(),
            None => self.look_up(module, path, depth),
        }
    }

    /// Follows the rest of a path from a module that it has reached.
    fn descend(&self, module: usize, rest: &[String], depth: usize) -> Vec<Target> {
        let file = self.modules[module].file.clone();
        let mut targets = match rest.first().map(String::as_str) {
            None => vec![Target { file: file.clone(), through: BTreeSet::new(), module: Some(module) }],
            Some("super") => match self.modules[module].parent {
                Some(parent) => self.descend(parent, &rest[1..], depth),
                None => Vec::new(),
            },
            Some("self") => self.descend(module, &rest[1..], depth),
            Some(_) => self.look_up(module, rest, depth),
        };
        if self.modules[module].parent.is_some() {
            targets.iter_mut().for_each(|target| _ = target.through.insert(file.clone()));
        }
        targets
    }

    /// Follows a path whose first name is one of `module`.
    fn look_up(&self, module: usize, path: &[String], depth: usize) -> Vec<Target> {
        let here = &self.modules[module];
        let (name, rest) = path.split_first().expect("a path has a first name");
        let mut targets = Vec::new();
        for meaning in here.names.get(name).into_iter().flatten() {
            match meaning {
                Meaning::Module(child) => targets.extend(self.descend(*child, rest, depth)),
                Meaning::Here => {
                    let through = BTreeSet::from([here.file.clone()]);
                    targets.push(Target { file: here.file.clone(), through, module: None });
                }
                Meaning::Elsewhere(path) if path.first() != Some(name) || path.len() > 1 => {
                    let whole: Vec<String> = path.iter().chain(rest).cloned().collect();
                    targets.extend(self.resolve(module, &whole, depth + 1));
                }
                Meaning::Elsewhere(_) => {}
            }
        }
        if here.names.contains_key(name) {
            return targets;
        }
        for glob in &here.globs {
            for target in self.resolve(module, glob, depth + 1) {
                if let Some(other) = target.module.filter(|other| *other != module) {
                    targets.extend(self.look_up(other, path, depth + 1));
                }
            }
        }
        targets
    }

    fn root(&self, mut module: usize) -> usize {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
        }
        module
    }

    /// Finds what a module's `use` lines and the paths in its code lead to.
    fn look_at(&self, module: usize, source: &Source, found: &mut BTreeSet<Import>) {
        let this = &self.modules[module];
        let mut paths = this.uses.clone();
        paths_in(source.tokens.clone(), &mut paths);
        // The paths of an inline module are its own.
        let inner: Vec<_> =
            self.modules.iter().filter(|other| other.parent == Some(module) && other.file == this.file).collect();
        for (line, path) in paths {
            let theirs = inner.iter().any(|other| (other.lines.0..=other.lines.1).contains(&line));
            if theirs || !(this.lines.0..=this.lines.1).contains(&line) || source.in_test(line) {
                continue;
            }
            for target in self.resolve(module, &path, 0) {
                // One name alone may as well be a local variable: a module is not meant.
                let is_name = path.len() == 1 && target.module.is_some();
                if target.file != this.file && !is_name {
                    let (from, path) = (this.file.clone(), path.join("::"));
                    found.insert(Import { from, line, path, to: target.file, through: target.through });
                }
            }
        }
    }
}

/// The names that a module defines and those it imports, also within its functions.
#[derive(Default)]
struct Names {
    defined: Vec<String>,
    uses: Vec<(usize, Vec<String>, String)>,
}

impl<'a> Visit<'a> for Names {
    fn visit_item(&mut self, item: &'a Item) {
        if for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Const(it) => self.defined.push(it.ident.to_string()),
            Item::Enum(it) => self.defined.push(it.ident.to_string()),
            Item::Fn(it) => self.defined.push(it.sig.ident.to_string()),
            Item::Macro(it) => self.defined.extend(it.ident.as_ref().map(ToString::to_string)),
            Item::Static(it) => self.defined.push(it.ident.to_string()),
            Item::Struct(it) => self.defined.push(it.ident.to_string()),
            Item::Trait(it) => self.defined.push(it.ident.to_string()),
            Item::Type(it) => self.defined.push(it.ident.to_string()),
            Item::Union(it) => self.defined.push(it.ident.to_string()),
            Item::Use(it) => self.add_use(&it.tree, &mut Vec::new()),
            _ => {}
        }
        syn::visit::visit_item(self, item);
    }
}

impl Names {
    fn add_use(&mut self, tree: &UseTree, path: &mut Vec<String>) {
        let (name, known_as) = match tree {
            UseTree::Path(it) => {
                path.push(it.ident.to_string());
                self.add_use(&it.tree, path);
                path.pop();
                return;
            }
            UseTree::Group(it) => return it.items.iter().for_each(|tree| self.add_use(tree, path)),
            UseTree::Glob(it) => {
                let line = it.star_token.spans[0].start().line;
                return self.uses.push((line, path.clone(), "*".to_owned()));
            }
            UseTree::Name(it) => (&it.ident, &it.ident),
            UseTree::Rename(it) => (&it.ident, &it.rename),
        };
        let (line, mut whole) = (name.span().start().line, path.clone());
        let mut known_as = known_as.to_string();
        if name == "self" {
            if known_as == "self" {
                known_as = path.last().cloned().unwrap_or_default();
            }
        } else {
            whole.push(name.to_string());
        }
        self.uses.push((line, whole, known_as));
    }
}

/// Every `a::b::c` and every name that stands alone, with its line; macros' arguments too. `use` lines are left out.
fn paths_in(tokens: TokenStream, found: &mut Vec<(usize, Vec<String>)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is = |at: usize, mark: char| matches!(tokens.get(at), Some(TokenTree::Punct(it)) if it.as_char() == mark);
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => paths_in(group.stream(), found),
            TokenTree::Ident(word) if word == "use" => {
                while at < tokens.len() && !is(at, ';') {
                    at += 1;
                }
            }
            TokenTree::Ident(word) => {
                let line = word.span().start().line;
                let field = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
                let rooted = at > 1 && is(at - 1, ':') && is(at - 2, ':');
                let mut path = vec![word.to_string()];
                while is(at + 1, ':') && is(at + 2, ':') {
                    let Some(TokenTree::Ident(next)) = tokens.get(at + 3) else { break };
                    path.push(next.to_string());
                    at += 3;
                }
                if !field && !rooted {
                    found.push((line, path));
                }
            }
            _ => {}
        }
        at += 1;
    }
}
