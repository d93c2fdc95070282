//! Who asks, and what they may do. Every handler gets a [`Principal`]; every list is filtered by [`Principal::sees`].

use jiff::Timestamp;
use pgkeep_model::access::{Access, Permission, Role};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

/// An account or token that was recognised; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal(Arc<Recognised>);

impl Deref for Principal {
    type Target = Recognised;

    fn deref(&self) -> &Recognised {
        &self.0
    }
}

/// What is known of a [`Principal`].
#[derive(Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Id of the account, also where a token of it was used.
    pub user_id: String,
    /// Name of the account.
    pub name: String,
    pub role: Role,
    pub permissions: BTreeSet<Permission>,
    /// Apps that are seen; all where absent.
    pub apps: Option<BTreeSet<String>>,
    pub credential: Credential,
}

/// What the principal showed.
#[derive(Debug, PartialEq, Eq)]
pub enum Credential {
    /// A browser's cookie. Requests that change something also need the CSRF token.
    Session {
        id: String,
        csrf: String,
        expires_at: Timestamp,
    },
    /// An API token, with its name.
    Token { id: String, name: String },
    /// The right to open the catalog on its own machine: commands run there by hand.
    Local,
}

impl Principal {
    pub fn new(recognised: Recognised) -> Self {
        Self(Arc::new(recognised))
    }

    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }

    /// Whether the app exists for this principal. What does not is answered like what is not there.
    pub fn sees(&self, app: &str) -> bool {
        self.apps.as_ref().is_none_or(|apps| apps.contains(app))
    }

    /// Whether something belongs to nobody's app, or to one that is seen. What belongs to no app is for those who see all.
    pub fn sees_maybe(&self, app: Option<&str>) -> bool {
        match app {
            Some(app) => self.sees(app),
            None => self.apps.is_none(),
        }
    }

    /// The apps to filter a list by; `None` for all.
    pub fn app_filter(&self) -> Option<Vec<String>> {
        self.apps
            .as_ref()
            .map(|apps| apps.iter().cloned().collect())
    }

    /// Who it is, whatever the account is called and whichever of its tokens was shown.
    pub fn account(&self) -> String {
        match &self.credential {
            Credential::Local => format!("local:{}", self.name),
            _ => self.user_id.clone(),
        }
    }

    /// The account that acts on another one, to be remembered there: none where it is its own. Who works on the server's
    /// machine could change anything there without leaving a trace, so nothing is made of what they do.
    pub fn acts_on(&self, user_id: &str) -> Option<&str> {
        let own = self.user_id == user_id || self.credential == Credential::Local;
        (!own).then_some(self.user_id.as_str())
    }

    /// Stable key for limits: all that one account does counts together, with whichever of its tokens.
    pub fn counting_key(&self) -> String {
        format!("account:{}", self.account())
    }

    /// Stable key for idempotency: keys of one token say nothing to another one of its account.
    pub fn key(&self) -> String {
        match &self.credential {
            Credential::Session { .. } => format!("user:{}", self.user_id),
            Credential::Token { id, .. } => format!("token:{id}"),
            Credential::Local => "local".to_owned(),
        }
    }

    /// Id of the session, where it is one.
    pub fn session_id(&self) -> Option<&str> {
        match &self.credential {
            Credential::Session { id, .. } => Some(id),
            Credential::Token { .. } | Credential::Local => None,
        }
    }

    /// Whether everything in `access` is this principal's, too: nobody grants more than they have.
    pub fn covers(&self, access: &Access) -> bool {
        access.permissions().is_subset(&self.permissions)
            && match (&access.apps, &self.apps) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(granted), Some(own)) => granted.is_subset(own),
            }
    }

    /// `user`, `token` or `cli`, as the audit log says it.
    pub fn kind(&self) -> &'static str {
        match &self.credential {
            Credential::Session { .. } => "user",
            Credential::Token { .. } => "token",
            Credential::Local => "cli",
        }
    }

    /// The name under which jobs and audit entries are kept: `ann`, or `ann (token ci)`.
    pub fn label(&self) -> String {
        match &self.credential {
            Credential::Session { .. } => self.name.clone(),
            Credential::Token { name, .. } => format!("{} (token {name})", self.name),
            Credential::Local => format!("{} (command line)", self.name),
        }
    }
}
