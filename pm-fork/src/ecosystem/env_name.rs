//! `--env NAME`: which apps have no `env_NAME`, in one line for all of them.

use pm_common::cli::nearest::nearest;

use super::{Context, Plan};

/// Names in a line, at most.
const MOST: usize = 3;

/// The warning that apps of the plans have no variables for the environment that was chosen, and what may be meant. `None`:
/// none was chosen, or all have some.
#[must_use]
pub fn no_env(plans: &[Plan], context: &Context) -> Option<String> {
    let name = context.env_name.as_deref().filter(|_| context.deployed.is_none())?;
    let all: Vec<_> = plans.iter().map(|plan| (plan.start.called(), plan.env_names.as_slice())).collect();
    lacking(name, &all)
}

fn lacking(name: &str, all: &[(&str, &[String])]) -> Option<String> {
    let has = |(_, names): &&(&str, &[String])| names.iter().any(|own| own == name);
    let (with, without): (Vec<_>, Vec<_>) = all.iter().partition(has);
    if without.is_empty() {
        return None;
    }
    let who = match (with.len(), without.len()) {
        (_, 1) => format!("app {} has no env_{name}", list(&without)),
        (0, _) => format!("no app has env_{name}"),
        (1, _) => format!("only app {} has env_{name}", list(&with)),
        (few, _) if few <= MOST => format!("only the apps {} have env_{name}", list(&with)),
        _ => format!("the apps {} have no env_{name}", list(&without)),
    };
    let near = without.iter().find_map(|(app, names)| Some((app, nearest(name, names.iter().map(String::as_str))?)));
    let near = near.map_or_else(String::new, |(app, near)| format!("; '{app}' has env_{near}: is that meant?"));
    Some(format!("--env {name}: {who}{near}"))
}

fn list(apps: &[&(&str, &[String])]) -> String {
    let names: Vec<_> = apps.iter().take(MOST).map(|(app, _)| format!("'{app}'")).collect();
    let more = apps.len().saturating_sub(MOST);
    names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_the_chosen_environment_is_said_once() {
        let (production, typo, none) = (vec!["production".to_owned()], vec!["prodution".to_owned()], Vec::new());
        for (apps, wanted) in [
            (&[("a", &production)] as &[(&str, &Vec<String>)], None),
            (&[("a", &none)], Some("app 'a' has no env_production")),
            (&[("a", &none), ("b", &production)], Some("app 'a' has no env_production")),
            (&[("a", &none), ("b", &none)], Some("no app has env_production")),
            (&[("a", &none), ("b", &production), ("c", &none)], Some("only app 'b' has env_production")),
            (&[("a", &typo)], Some("app 'a' has no env_production; 'a' has env_prodution: is that meant?")),
        ] {
            let all: Vec<_> = apps.iter().map(|(app, names)| (*app, names.as_slice())).collect();
            assert_eq!(lacking("production", &all), wanted.map(|who| format!("--env production: {who}")));
        }
        let many: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|app| (*app, none.as_slice())).collect();
        let most: Vec<_> = ["f", "g", "h", "i"].iter().map(|app| (*app, production.as_slice())).collect();
        let said = lacking("production", &[many, most].concat()).expect("lacking");
        assert!(said.ends_with("the apps 'a', 'b', 'c' and 2 more have no env_production"), "{said}");
    }
}
