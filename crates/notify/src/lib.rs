//! Tells people what happened: e-mail, chat, webhooks, dead-man pings.
