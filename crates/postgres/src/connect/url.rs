//! A connection as a `postgres://` URL, for programs that take no other form.

use super::{ConnectOptions, HostAddress, RootCertificates};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// Everything but what RFC 3986 leaves unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl ConnectOptions {
    /// The connection as a URL, without its password.
    pub fn to_url(&self) -> String {
        self.url(None)
    }

    /// The connection as a URL with everything in it. Whoever gets it gets the password.
    pub fn to_url_with_password(&self) -> SecretString {
        let password = self
            .hosts
            .first()
            .and_then(|host| self.password_for(host))
            .filter(|password| !password.expose_secret().is_empty());
        let Some(password) = password else {
            return self.to_url().into();
        };
        self.url(Some(password.expose_secret())).into()
    }

    /// The password, as it is and as it stands in a URL: what must not be seen in another program's output.
    pub fn secret_texts(&self) -> Vec<SecretString> {
        let passwords = self.hosts.iter().filter_map(|host| self.password_for(host));
        passwords
            .filter(|password| !password.expose_secret().is_empty())
            .flat_map(|password| {
                let encoded = encode(password.expose_secret());
                [password, encoded.into()]
            })
            .collect()
    }

    fn url(&self, password: Option<&str>) -> String {
        let mut url = format!("postgres://{}", encode(&self.user));
        if let Some(password) = password {
            url.push(':');
            url.push_str(&encode(password));
        }
        url.push('@');
        let mut query = Vec::new();
        let sockets: Vec<String> = self
            .hosts
            .iter()
            .filter_map(|host| match &host.address {
                HostAddress::Socket(dir) => Some(dir.display().to_string()),
                HostAddress::Tcp { .. } => None,
            })
            .collect();
        // A socket's folder cannot stand in the place of a host.
        if sockets.is_empty() {
            let hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
            url.push_str(&hosts.join(","));
        } else {
            let names = self.hosts.iter().map(|host| match &host.address {
                HostAddress::Socket(dir) => dir.display().to_string(),
                HostAddress::Tcp { name, .. } => name.clone(),
            });
            let ports = self.hosts.iter().map(|host| host.port.to_string());
            query.push(("host", names.collect::<Vec<_>>().join(",")));
            query.push(("port", ports.collect::<Vec<_>>().join(",")));
        }
        url.push('/');
        url.push_str(&encode(&self.dbname));
        query.push(("sslmode", self.sslmode.as_str().to_owned()));
        match &self.sslrootcert {
            RootCertificates::None => {}
            RootCertificates::System => query.push(("sslrootcert", "system".into())),
            RootCertificates::File(file) => query.push(("sslrootcert", file.display().to_string())),
        }
        if let Some(client) = &self.client_certificate {
            query.push(("sslcert", client.certificate.display().to_string()));
            query.push(("sslkey", client.key.display().to_string()));
        }
        for (at, (name, value)) in query.iter().enumerate() {
            let joint = if at == 0 { '?' } else { '&' };
            url.push_str(&format!("{joint}{name}={}", encode(value)));
        }
        url
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Environment;

    #[test]
    fn a_url_leads_to_the_same_place_and_keeps_its_password_to_itself() {
        for text in [
            "postgres://ann:s%2Fe%3Acret@db.example.org:5433/shop?sslmode=require",
            "host=/run/pg port=5440 user='a b' dbname='x/y' password=s/e:cret",
            "host=one,two port=5432,5433 user=ann dbname=shop password=s/e:cret",
        ] {
            let resolve =
                |text: &str| ConnectOptions::resolve(Some(text), &Environment::default()).unwrap();
            let meant = resolve(text);
            let url = meant.to_url();
            assert!(!meant.leaks_into(&url) && !url.contains("cret"), "{url}");
            let whole = meant.to_url_with_password();
            let again = resolve(whole.expose_secret());
            assert_eq!(again.hosts, meant.hosts);
            assert_eq!((&again.user, &again.dbname), (&meant.user, &meant.dbname));
            assert_eq!(again.sslmode, meant.sslmode);
            assert!(again.leaks_into("it is s/e:cret"));
            let secrets = meant.secret_texts();
            assert!(
                secrets
                    .iter()
                    .any(|secret| secret.expose_secret() == "s%2Fe%3Acret")
            );
        }
    }
}
