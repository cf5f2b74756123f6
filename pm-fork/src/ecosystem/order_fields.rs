//! After which apps one starts: `depends_on`, a name, a list of them, or an object that says how far each must have come.

use pm_common::app::home;
use pm_common::policy::app_order::{After, Stage};
use serde_json::Value;

use super::Reader;
use super::field_value::plain;

const FIELD: &str = "depends_on";

impl Reader<'_> {
    /// The apps that this one starts after, by the names of their directories, each once.
    pub(crate) fn after(&self) -> Result<Vec<After>, String> {
        let mut all: Vec<After> = Vec::new();
        for (name, stage) in self.named()? {
            let app = home::directory_name(&name);
            home::check_name(&app).map_err(|why| format!("{FIELD}: '{name}': {why}"))?;
            if !all.iter().any(|one| one.app == app) {
                all.push(After { app, stage });
            }
        }
        Ok(all)
    }

    fn named(&self) -> Result<Vec<(String, Stage)>, String> {
        let name = |value: &Value| plain(value).ok_or_else(|| format!("{FIELD}: {value} is no name of an app"));
        let ready = |value: &Value| Ok((name(value)?, Stage::Ready));
        // What an option takes away.
        let is_one = |value: &&Value| value.as_str() != Some("");
        match self.app.get(FIELD) {
            None | Some(Value::Bool(false)) => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().filter(is_one).map(ready).collect(),
            Some(Value::Object(map)) => map.iter().map(|(app, value)| Ok((app.clone(), stage(app, value)?))).collect(),
            Some(one) => Ok(vec![ready(one)?]),
        }
    }
}

fn stage(app: &str, value: &Value) -> Result<Stage, String> {
    let known = value.as_str().and_then(Stage::from_word);
    known.ok_or_else(|| format!("{FIELD}: {app}: {value}: 'ready' or 'started'?"))
}
