//! What the supervisor tells a job's process: one line of JSON on its standard input, which neither the list of processes
//! nor the environment shows, for the catalog's address may hold a password.

use crate::settings::{CatalogPlace, Places};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf, time::Duration};

#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    data_dir: PathBuf,
    catalog: CatalogLine,
    catalog_key: PathBuf,
    lease_millis: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CatalogLine {
    Sqlite(PathBuf),
    Postgres(String),
}

impl Order {
    pub(super) fn new(places: &Places, lease: Duration) -> Self {
        Self {
            data_dir: places.data_dir.clone(),
            catalog: match &places.catalog {
                CatalogPlace::Sqlite(path) => CatalogLine::Sqlite(path.clone()),
                CatalogPlace::Postgres(url) => {
                    CatalogLine::Postgres(url.expose_secret().to_owned())
                }
            },
            catalog_key: places.catalog_key.clone(),
            lease_millis: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The line, with its end.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("an order is plain data");
        line.push(b'\n');
        line
    }

    pub(super) fn parse(line: &str) -> io::Result<Self> {
        Ok(serde_json::from_str(line)?)
    }

    pub(super) fn places(&self) -> Places {
        Places {
            data_dir: self.data_dir.clone(),
            catalog: match &self.catalog {
                CatalogLine::Sqlite(path) => CatalogPlace::Sqlite(path.clone()),
                CatalogLine::Postgres(url) => CatalogPlace::Postgres(url.as_str().into()),
            },
            catalog_key: self.catalog_key.clone(),
            config_file: None,
        }
    }

    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_comes_out_as_it_went_in() {
        let mut places = Places::inside("/data");
        places.catalog = CatalogPlace::Postgres("postgres://u:p@h/db".into());
        let line = Order::new(&places, Duration::from_secs(30)).line();
        let text = String::from_utf8(line).unwrap();
        assert_eq!(text.matches('\n').count(), 1);
        let order = Order::parse(&text).unwrap();
        assert_eq!(order.lease(), Duration::from_secs(30));
        let back = order.places();
        assert_eq!(back.data_dir, places.data_dir);
        match back.catalog {
            CatalogPlace::Postgres(url) => assert_eq!(url.expose_secret(), "postgres://u:p@h/db"),
            CatalogPlace::Sqlite(path) => panic!("{}", path.display()),
        }
    }
}
