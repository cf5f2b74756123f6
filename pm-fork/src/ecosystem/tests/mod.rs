//! What each field of PM2's comes to: `by_field` has a case for every one of them.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

mod by_field;
mod whole;

/// Files, commands and users that are there.
pub(super) struct Fake {
    pub(super) files: BTreeMap<PathBuf, Head>,
    pub(super) commands: Vec<&'static str>,
    pub(super) uid: u32,
    pub(super) old_node: bool,
}

impl Fake {
    pub(super) fn new() -> Self {
        let text = |executable, bytes: &str| Head { executable, bytes: bytes.into() };
        let mut files: BTreeMap<PathBuf, Head> = [
            ("/srv/app.js", text(false, "console.log(1)")),
            ("/srv/-x.js", text(false, "")),
            ("/srv/sub/app.js", text(false, "")),
            ("/srv/sub/only.js", text(false, "")),
            ("/srv/job.py", text(false, "")),
            ("/srv/run.sh", text(false, "")),
            ("/srv/a.ts", text(false, "")),
            ("/srv/cli", text(true, "#!/usr/bin/env node\n")),
            ("/srv/tool", text(true, "#!/usr/bin/perl\n")),
            ("/usr/bin/perl", text(true, "")),
            ("/usr/bin/env", text(true, "")),
            ("/srv/plain", text(false, "x = 1")),
            ("/srv/binary", Head { executable: true, bytes: vec![0x7f, b'E', b'L', b'F', 0] }),
            ("/srv/my app.js", text(false, "")),
            ("/opt/node", text(true, "")),
            ("/etc/eco/beside.js", text(false, "")),
            ("/home/me/own.js", text(false, "")),
            ("/srv/.env", text(false, "# it\nA=1 # one\nB='two\nlines'\n")),
            ("/home/me/more.env", text(false, "export B=3\nC=\n")),
            ("/home/me/bin/node", text(true, "")),
        ]
        .map(|(path, head)| (PathBuf::from(path), head))
        .into();
        files.insert("/srv/größe \"x\".js".into(), Head::default());
        let commands = vec!["node", "bash", "python3", "perl", "npm", "setpriv", "sh"];
        Self { files, commands, uid: 1000, old_node: false }
    }
}

impl Machine for Fake {
    fn file(&self, path: &Path) -> Option<Head> {
        self.files.get(path).cloned()
    }
    fn text(&self, path: &Path) -> Result<String, String> {
        let head = self.files.get(path).ok_or("No such file or directory")?;
        String::from_utf8(head.bytes.clone()).map_err(|e| e.to_string())
    }
    fn dir(&self, path: &Path) -> bool {
        path.extension().is_none() && !path.starts_with("/none")
    }
    fn names(&self, dir: &Path) -> Vec<String> {
        let below = self.files.keys().filter_map(|path| path.strip_prefix(dir).ok()?.iter().next()?.to_str());
        below.chain((dir == "/pm").then_some("web")).map(str::to_owned).collect()
    }
    fn reads_no_types(&self, _: &str) -> Option<String> {
        self.old_node.then(|| "v16.20.2".to_owned())
    }
    fn which(&self, command: &str) -> Option<PathBuf> {
        self.commands.contains(&command).then(|| Path::new("/usr/bin").join(command))
    }
    fn tool(&self, name: &str) -> OsString {
        name.into()
    }
    fn account(&self, name: &str) -> Option<Account> {
        let account =
            |uid, name: &str| Account { uid, gid: uid + 1, name: name.to_owned(), home: format!("/home/{name}") };
        match name {
            "www" | "33" => Some(account(33, "www")),
            "me" | "1000" => Some(account(1000, "me")),
            _ => None,
        }
    }
    fn group(&self, name: &str) -> Option<u32> {
        if name == "adm" { Some(4) } else { name.parse().ok() }
    }
    fn uid(&self) -> u32 {
        self.uid
    }
    fn cpus(&self) -> u32 {
        4
    }
}

pub(super) fn context() -> Context {
    let env = [("PATH", "/usr/bin"), ("HOME", "/home/me"), ("SECRET_A", "1"), ("MY_SECRET", "2")];
    Context {
        cwd: "/srv".into(),
        config: Some("/etc/eco/ecosystem.config.js".into()),
        env_name: None,
        deployed: None,
        env: env.map(|(key, value)| (key.into(), value.into())).to_vec(),
        home: "/pm".into(),
    }
}

/// The plan of a description as it stands in a file, with `script: app.js` where it has none.
pub(super) fn planned_in(mut app: Value, context: &Context, machine: &Fake) -> Result<Plan, String> {
    if app.get("script").is_none() && !["exec", "cmd", "command"].iter().any(|key| app.get(key).is_some()) {
        app["script"] = json!("app.js");
    }
    let (app, warnings) = normalise(&app)?;
    plan(&app, context, machine, warnings)
}

pub(super) fn planned(app: Value) -> Result<Plan, String> {
    planned_in(app, &context(), &Fake::new())
}

/// The chain as a line, without what every chain has.
pub(super) fn line(plan: &Plan) -> String {
    let words: Vec<_> = plan.start.argv.iter().map(|word| word.to_string_lossy()).collect();
    let env_file = format!("--env-file /pm/{}/app.env ", plan.start.name);
    words.join(" ").replace("--stop-signal INT ", "").replace("--stop-group ", "").replace(&env_file, "")
}

pub(super) fn var<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
    plan.start.app_env.iter().flatten().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
