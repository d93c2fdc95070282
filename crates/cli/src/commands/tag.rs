//! `pgkeep tag`: words on a backup, and the pin that keeps it.

use crate::{
    args::TagArgs,
    commands::{list::app_filter, on_server},
    error::{CliError, CliResult},
    exit::Exit,
    recording,
    session::{Session, required_repository},
};
use pgkeep_engine::catalog::{self, BackupEntry, ListFilter, Relabel};

pub fn run(args: &TagArgs, session: &Session) -> CliResult<Exit> {
    if args.add.is_empty() && args.remove.is_empty() && !args.pin && !args.unpin {
        return Err(CliError::usage("nothing to change")
            .with_hint("give --add, --remove, --pin or --unpin"));
    }
    if let Some(api) = session.remote()? {
        return on_server::tag(args, &api, session);
    }
    let settings = session.settings()?;
    let context = session.context(&settings);
    let repository = session.repository(&settings, &context)?;
    let filter = ListFilter {
        app: app_filter(&settings),
        ..ListFilter::default()
    };
    let found = catalog::find(&repository, &args.backup, &filter)?;
    let change = Relabel {
        pinned: (args.pin || args.unpin).then_some(args.pin),
        add_tags: args.add.clone(),
        remove_tags: args.remove.clone(),
        ..Relabel::default()
    };
    let entry = catalog::relabel(&repository, &found.id, &change)?;
    // The status must not go on to say what was just settled.
    recording::announce(&required_repository(&settings)?.address.value, session);
    answer(&entry, session);
    Ok(Exit::Done)
}

/// Shows the words on a backup.
pub fn answer(entry: &BackupEntry, session: &Session) {
    session.screen.answer(entry, |text| {
        text.facts([
            ("backup", entry.short_id().to_owned()),
            ("tags", entry.tags.join(", ")),
            ("pinned", if entry.pinned { "yes" } else { "no" }.to_owned()),
        ]);
    });
}
