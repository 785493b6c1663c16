//! Sends a request from a thread that must not wait. Another thread then receives the reply.

use super::Wire;
use crate::consul::http::HttpRequest;
use crate::consul::interrupt::Interrupt;

impl Wire {
    /// Sends a request on the connection that [`Wire::is_open`] has just found open. Opens no connection, reads no file and
    /// does not wait: [`Wire::receive`] sends what the connection does not take at once. `interrupt` ends the exchange from
    /// now on.
    ///
    /// False: not one byte of the request was sent, and this connection sends no other.
    pub(crate) fn send_at_once(&mut self, request: &HttpRequest, interrupt: &Interrupt) -> bool {
        let is_checked = std::mem::take(&mut self.is_checked);
        self.token = self.route.credentials().token();
        let (route, token) = (&self.route, &self.token);
        let written = self.output.write(request, route, self.at, token);
        let ready = written.and_then(|()| self.input.prepare());
        let open = self.open.as_mut().filter(|_| is_checked && ready.is_ok());
        let Some(open) = open.filter(|open| interrupt.attach(open.stream.socket())) else {
            self.close();
            return false;
        };
        let length = self.output.bytes().len();
        let sent = open.stream.send_at_once(self.output.bytes());
        match sent {
            Some((_, taken)) if taken < length => self.cut_at = Some(taken),
            _ => self.output.shrink(),
        }
        self.awaited = sent.map(|(before, _)| before);
        if sent.is_none() {
            interrupt.detach();
            self.close();
        }
        sent.is_some()
    }
}

#[cfg(test)]
impl Wire {
    /// Breaks the connection, as if the other side had closed it.
    pub(crate) fn break_off(&self) {
        if let Some(open) = &self.open {
            let _ = open.stream.socket().shutdown(std::net::Shutdown::Both);
        }
    }
}
