//! How safe each app is at this moment.
