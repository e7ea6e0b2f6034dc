//! What comes over the connection, and what the connection says of itself.
use std::sync::Arc;

use async_nats::{Event as Connection, Message, ServerError};

use super::{
    Metrics,
    session::{Arrival, round_of},
    task::{Link, Task},
};
use crate::{
    lattice::{
        client::is_nobody,
        clock,
        fault::{Fault, Permission, Verb},
        inventory::Input,
        wire::{self, Read, decode_news},
    },
    model::HostId,
};

impl Task {
    pub(super) fn arrived(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Event(message) => self.event(&message),
            Arrival::Pong(message) => self.pong(&message),
            Arrival::Connection(said) => self.connection(said),
            Arrival::Ended => {
                self.disconnected(self.at("the connection was closed"), Fault::Unreachable);
                self.connect();
            }
        }
    }

    fn event(&mut self, message: &Message) {
        if !self.up {
            return;
        }
        let known = |host: &HostId, print| self.shared.lock().fold.shows(host, print);
        match decode_news(&message.subject, &message.payload, known) {
            Ok(Some(event)) => {
                Metrics::count(&self.shared.metrics.events);
                self.fold(Input::Event(event));
            }
            Ok(None) => {}
            Err(error) => {
                Metrics::count(&self.shared.metrics.unread);
                tracing::debug!(subject = %message.subject, %error, "event not understood");
            }
        }
    }

    fn pong(&mut self, message: &Message) {
        let Some(round) = round_of(message) else { return };
        if let Link::Open(session) = &self.link {
            // Be it that nobody listens: the ping went out.
            self.answered(&session.client.subjects().read(&Read::Ping).subject);
        }
        if !self.up || is_nobody(message) {
            return;
        }
        if let Some((host, uptime)) = wire::glance_at_pong(&message.payload)
            && self.shared.lock().fold.knows(&host)
        {
            return self.fold(Input::PongAgain { round, host, uptime });
        }
        match wire::decode_ping(&message.payload) {
            Ok(wire::Answer::Accepted(Some(host))) => self.fold(Input::Pong { round, host }),
            Ok(wire::Answer::Accepted(None) | wire::Answer::Refused(_)) => {}
            Err(error) => {
                Metrics::count(&self.shared.metrics.unread);
                tracing::debug!(%error, "answer to a ping not understood");
            }
        }
    }

    fn connection(&mut self, said: Connection) {
        match said {
            Connection::Connected => {
                if !self.up
                    && let Link::Open(session) = &self.link
                {
                    let info = session.client.line().server();
                    self.connected(&info);
                }
            }
            Connection::Disconnected => {
                if self.up {
                    self.disconnected(self.at("the connection was lost"), Fault::Unreachable);
                }
            }
            Connection::SlowConsumer(_) => {
                Metrics::count(&self.shared.metrics.slow);
                self.missed = true;
            }
            Connection::ServerError(error) => self.complained(&error),
            // async-nats goes on trying and doesn't say why it fails; an attempt of our own does.
            Connection::ClientError(_) if !self.up => self.connect(),
            Connection::ClientError(_) | Connection::LameDuckMode | Connection::Draining => {}
            Connection::Closed => {
                self.disconnected(self.at("the connection was closed"), Fault::Unreachable);
                self.connect();
            }
        }
    }

    fn complained(&mut self, error: &ServerError) {
        let text = match error {
            ServerError::AuthorizationViolation => "authorization violation",
            ServerError::SlowConsumer(_) => {
                self.missed = true;
                return;
            }
            ServerError::Other(text) => text,
        };
        match Permission::refused(text) {
            Some((verb, subject)) => self.refused(verb, subject),
            None if self.up => {
                tracing::warn!(lattice = %self.settings.name, error = text, "NATS complained");
            }
            None => self.disconnected(self.at(text), Fault::Other),
        }
    }

    fn refused(&self, verb: Verb, subject: &str) {
        let Link::Open(session) = &self.link else { return };
        if session.client.subjects().is_optional(subject) {
            return session.client.refused_bucket();
        }
        let permission = Permission { verb, subject: session.permission(subject).into() };
        let mut state = self.shared.lock();
        if state.refused.refused(permission.clone(), subject, clock::now()) {
            tracing::warn!(lattice = %self.settings.name, %permission, "NATS refused");
            state.change.health = true;
        }
    }

    /// What was sent to `subject` has reached the server and been let through.
    pub(super) fn answered(&self, subject: &str) {
        let Link::Open(session) = &self.link else { return };
        let mut state = self.shared.lock();
        if state.refused.is_empty() {
            return;
        }
        let permission = session.permission(subject);
        if state.refused.answered(&permission, subject, clock::now()) {
            tracing::info!(lattice = %self.settings.name, permission, "NATS allows what it refused");
            state.change.health = true;
        }
    }

    /// A reason with the address that it is about.
    pub(super) fn at(&self, reason: &str) -> Arc<str> {
        format!("{}: {reason}", self.settings.access.urls.join(",")).into()
    }
}
