//! `uid`, `gid`: setpriv(1) in front of the program, so that the supervisors keep their own user.

use std::ffi::OsString;

use super::Reader;
use super::machine::Account;

/// Who the program runs as.
#[derive(Debug, Default)]
pub(crate) struct User {
    /// What changes the user.
    pub(crate) chain: Vec<OsString>,
    /// What the program finds in its environment of it.
    pub(crate) env: Vec<(String, String)>,
}

impl User {
    pub(crate) fn of(reader: &Reader<'_>) -> Result<Self, String> {
        let (uid, gid) = (reader.text("uid")?, reader.text("gid")?);
        let group = gid.as_deref().map(|name| group(reader, name)).transpose()?;
        let account = uid.as_deref().map(|name| account(reader, name)).transpose()?;
        let ours = reader.machine.uid();
        let same = account.as_ref().is_none_or(|account| account.uid == ours) && group.is_none();
        if same {
            return Ok(Self::default());
        }
        if ours != 0 {
            let field = if group.is_some() { "gid" } else { "uid" };
            return Err(format!("{field}: only root can run an app as somebody else, and this is user {ours}"));
        }
        if reader.machine.which("setpriv").is_none() {
            return Err("uid: there is no command 'setpriv'; install util-linux".to_owned());
        }
        Ok(Self::changed(account.as_ref(), group))
    }

    fn changed(account: Option<&Account>, group: Option<u32>) -> Self {
        let mut words = vec!["setpriv".to_owned()];
        words.extend(account.map(|a| format!("--reuid={}", a.uid)));
        words.extend(group.or(account.map(|a| a.gid)).map(|gid| format!("--regid={gid}")));
        let known = account.is_some_and(|a| !a.name.is_empty());
        words.push(if known { "--init-groups" } else { "--clear-groups" }.to_owned());
        let of =
            |account: &Account| [("HOME".to_owned(), account.home.clone()), ("USER".to_owned(), account.name.clone())];
        let env = account.filter(|_| known).map(of).into_iter().flatten().collect();
        Self { chain: words.into_iter().map(OsString::from).collect(), env }
    }
}

/// The home of the user who is to run the app; empty: it has none.
pub(crate) fn home(reader: &Reader<'_>) -> Result<String, String> {
    let uid = reader.text("uid")?;
    let account = uid.as_deref().map(|name| account(reader, name)).transpose()?;
    if let Some(account) = account.filter(|account| account.uid != reader.machine.uid()) {
        return Ok(account.home);
    }
    let told = reader.context.var("HOME").filter(|home| home.starts_with('/')).map(str::to_owned);
    let known = || reader.machine.account(&reader.machine.uid().to_string()).map(|account| account.home);
    Ok(told.or_else(known).unwrap_or_default())
}

/// A number that no user has is one to run as all the same.
fn account(reader: &Reader<'_>, name: &str) -> Result<Account, String> {
    let stranger = |uid| Account { uid, gid: uid, name: String::new(), home: String::new() };
    let account = reader.machine.account(name).or_else(|| name.parse().ok().map(stranger));
    account.ok_or_else(|| format!("uid: there is no user '{name}'"))
}

fn group(reader: &Reader<'_>, name: &str) -> Result<u32, String> {
    reader.machine.group(name).ok_or_else(|| format!("gid: there is no group '{name}'"))
}
