//! Requests on their way to the model of Consul, and answers on their way back.

use super::*;

impl World {
    /// Has the model serve a request, and notes a write under a lock, or a lock that was given back.
    pub(super) fn serve(
        &mut self,
        request: &Request,
        http: &HttpRequest,
        gives_back: Option<(usize, LockId)>,
    ) -> Result<Served, String> {
        let written = written_key(request);
        let held = written.is_some().then(|| self.model.held_keys());
        let served = self.model.handle(self.now, http);
        if let Some(session) = http.target.strip_prefix("/v1/session/destroy/") {
            self.ledger.ended(session)?;
        }
        if let Served::Reply(HttpReply { status: 200, .. }) = &served {
            if let Some(name) = created_name(http) {
                self.ledger.made(&name, self.now);
            }
            if let (Some(key), Some(held)) = (written, held) {
                self.ledger.applied(&key, &held)?;
            }
            if let Some((process, lock)) = gives_back {
                self.ledger.is_last_lock_of_its_session(process, lock)?;
            }
            if self.plan.mix.is_some() {
                self.check_rows(request)?;
            }
        }
        Ok(served)
    }

    /// A request arrives whose answer is not wanted any more.
    pub(super) fn late(
        &mut self,
        request: &Request,
        http: &HttpRequest,
        gives_back: Option<(usize, LockId)>,
    ) -> Result<Option<WatchId>, String> {
        self.note(|| format!("consul: a late copy arrives: {}", words(http)));
        if self.leaderless {
            return Ok(None);
        }
        Ok(match self.serve(request, http, gives_back)? {
            Served::Parked(watch) => Some(watch),
            Served::Reply(_) => None,
        })
    }

    /// Consul serves no more blocking queries for one process than the process may have, wanted or not.
    pub(super) fn within_budget(&self, process: usize) -> Result<(), String> {
        let Process {
            flights, hung_up, ..
        } = &*self.processes[process];
        let is_blocking = |flight: &&Flight| {
            let request = &flight.request;
            matches!(request, Request::Watch { .. } | Request::WatchNames { .. })
        };
        // A leader that stood still serves requests that are long over.
        if self.plan.leader_freezes.is_some() {
            return Ok(());
        }
        let served = flights.values().filter(is_blocking).count() + hung_up.len();
        let budget = Budget::of(self.connections);
        if served > budget.watches + budget.listings {
            return Err(format!(
                "Consul serves {served} blocking queries for p{process}, which may have {budget:?}"
            ));
        }
        Ok(())
    }

    pub(super) fn deliver(&mut self, process: usize, request: RequestId) -> Result<(), String> {
        let Some(flight) = self.processes[process].flights.get(&request) else {
            let Some(flight) = self.processes[process].given_up.remove(&request) else {
                return Ok(());
            };
            let watch = self.late(&flight.request, &flight.http, flight.gives_back)?;
            self.processes[process].hung_up.extend(watch);
            return Ok(());
        };
        let (http, fate) = (flight.http.clone(), flight.fate.clone());
        let gives_back = flight.gives_back;
        let asked = flight.request.clone();
        if let Some(wakes) = self.frozen.filter(|wakes| self.now < *wakes)
            && self.processes[process].asks_old_leader
        {
            let happening = match &asked {
                Request::RenewSession { session } => Happening::Answer {
                    process,
                    request,
                    result: Ok(self.model.renew_at_old_leader(&session.0)),
                },
                // The leader finds first that it leads no more.
                _ => Happening::Deliver { process, request },
            };
            self.at(wakes, happening);
            return Ok(());
        }
        if self.leaderless {
            let reply = text_reply(500, "No cluster leader");
            let held = self.random.duration(Duration::from_secs(7));
            self.after(
                held,
                Happening::Answer {
                    process,
                    request,
                    result: Ok(reply),
                },
            );
            return Ok(());
        }
        let standing = self.standing(&asked);
        match self.serve(&asked, &http, gives_back)? {
            Served::Reply(reply) => {
                if reply.status == 200 {
                    self.granted(process, &asked, &standing)?;
                    if let Request::FindSession { name } = &asked {
                        self.ledger.looked_for(name, self.now);
                    }
                }
                self.note(|| {
                    format!(
                        "consul: {} -> {} {}",
                        words(&http),
                        reply.status,
                        body(&reply)
                    )
                });
                if let Fate::Answered { applied, answered } = fate {
                    let result = Ok(reply);
                    self.after(
                        answered - applied,
                        Happening::Answer {
                            process,
                            request,
                            result,
                        },
                    );
                }
            }
            Served::Parked(watch) => {
                self.parked.insert(watch, (process, request));
                if let Some(flight) = self.processes[process].flights.get_mut(&request) {
                    flight.parked = Some(watch);
                }
            }
        }
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        process: usize,
        request: RequestId,
        result: Result<HttpReply, Failure>,
    ) -> Result<(), String> {
        let Some(flight) = self.processes[process].flights.remove(&request) else {
            return Ok(());
        };
        if let Some(watch) = flight.parked
            && self.parked.remove(&watch).is_some()
        {
            self.processes[process].hung_up.insert(watch);
        }
        let sent = if matches!(result, Err(Failure::NotSent(_))) {
            None
        } else {
            flight.sent
        };
        let result = match (self.defect, &flight.request, result) {
            // The broken release asked to delete the key by its name; "true" is its success.
            (Some(Defect::ReleaseByKey), Request::Unlock { .. }, Ok(reply))
                if reply.status == 200 =>
            {
                Ok(HttpReply {
                    body: br#"{"Results":[],"Errors":null}"#.to_vec(),
                    ..reply
                })
            }
            // The plain write's "true" is its success.
            (Some(Defect::WriteUnchecked), Request::Write { .. }, Ok(reply))
                if reply.status == 200 =>
            {
                Ok(HttpReply {
                    body: said_written(&flight.request),
                    ..reply
                })
            }
            (_, _, result) => result,
        };
        let result = match result {
            Ok(reply)
                if reply.status == 200
                    && shows_line(&flight.request)
                    && self.junk_from.is_some_and(|from| self.now >= from) =>
            {
                Err(Failure::TooLarge("junk in the line".to_owned()))
            }
            result => result,
        };
        let gave_up = matches!(result, Err(Failure::Unknown(_)));
        let answer = verdict(&flight.request, result);
        let answer = match self.defect {
            Some(defect) => defect.falsify(&flight.request, answer),
            None => answer,
        };
        let sent = match self.defect {
            Some(Defect::LeaseFromReply) => sent.map(|_| self.clock_at(process, self.now)),
            _ => sent,
        };
        if gave_up && matches!(flight.fate, Fate::Answered { .. }) {
            self.processes[process].given_up.insert(request, flight);
        }
        self.note(|| format!("p{process}: answer to {}: {answer:?}", request.0));
        self.step(
            process,
            Input::Reply {
                request,
                sent,
                answer,
            },
        )
    }

    /// A core sends a request. A defect may change the request, or answer it without Consul.
    pub(super) fn ask(&mut self, process: usize, id: RequestId, mut request: Request, by: Time) {
        let invented = match (self.defect, &mut request) {
            (Some(Defect::AgentsNode), Request::CreateSession { node, .. }) => {
                *node = None;
                None
            }
            (Some(Defect::KeepLateLock), Request::DestroySession { session }) => self
                .ledger
                .last_lock_of(session)
                .is_none()
                .then_some("true"),
            (Some(Defect::LookOnce), Request::FindSession { name }) => {
                (!self.looked_for.insert(name.clone())).then_some("[]")
            }
            _ => None,
        };
        let Some(text) = invented else {
            return self.send(process, id, request, by);
        };
        let http = encode(&request, &self.scope).expect("memory");
        let flight = Flight {
            request,
            http,
            sent: None,
            fate: Fate::Refused,
            parked: None,
            gives_back: None,
        };
        self.processes[process].flights.insert(id, flight);
        let answer = Happening::Answer {
            process,
            request: id,
            result: Ok(text_reply(200, text)),
        };
        self.after(Duration::from_millis(1), answer);
    }

    pub(super) fn send(&mut self, process: usize, id: RequestId, request: Request, by: Time) {
        let http = match (self.defect, &request) {
            (Some(Defect::ReleaseByKey), Request::Unlock { rows, .. }) => HttpRequest {
                method: Method::Delete,
                target: format!("/v1/kv/{}", rows[0]),
                body: None,
            },
            (Some(Defect::WriteUnchecked), Request::Write { key, value, .. }) => HttpRequest {
                method: if value.is_some() {
                    Method::Put
                } else {
                    Method::Delete
                },
                target: format!("/v1/kv/{key}"),
                body: value.as_ref().map(|value| value.0.to_vec()),
            },
            _ => encode(&request, &self.scope).expect("memory"),
        };
        let gives_back = match (&request, self.defect) {
            (_, Some(Defect::ReleaseByKey)) => None,
            (Request::Unlock { session, .. }, _) => self.ledger.last_lock_of(session),
            _ => None,
        };
        let waited = self.random.duration(Duration::from_micros(300));
        let sent_at = self.now + waited;
        let sent = Some(self.clock_at(process, sent_at));
        let fate = match request {
            // A lost blocking query is a time-out.
            Request::Watch { .. } if !self.random.chance(self.plan.weather.faults) => {
                let applied = self.random.duration(self.plan.weather.delay * 2);
                let answered = applied + self.random.duration(self.plan.weather.delay * 2);
                Fate::Answered { applied, answered }
            }
            _ => Fate::random(&mut self.random, &self.plan.weather),
        };
        self.note(|| format!("p{process}: asks {} {request:?} [{fate:?}]", id.0));
        let answer = |result| Happening::Answer {
            process,
            request: id,
            result,
        };
        match &fate {
            Fate::Refused => {
                let refused = Failure::NotSent("connection refused".to_owned());
                self.at(sent_at, answer(Err(refused)));
            }
            Fate::Declined {
                answered,
                status,
                text,
            } => {
                self.at(sent_at + *answered, answer(Ok(text_reply(*status, text))));
            }
            Fate::Answered { applied, .. } => {
                self.at(
                    sent_at + *applied,
                    Happening::Deliver {
                        process,
                        request: id,
                    },
                );
            }
            Fate::Lost {
                noticed,
                status,
                applied,
            } => {
                for applied in applied {
                    self.at(
                        sent_at + *applied,
                        Happening::Late(Box::new(request.clone()), http.clone(), gives_back),
                    );
                }
                if let Some(noticed) = noticed {
                    let result = match status {
                        Some((status, text)) => Ok(text_reply(*status, text)),
                        None => Err(Failure::Unknown("connection reset".to_owned())),
                    };
                    self.at(sent_at + *noticed, answer(result));
                }
            }
        }
        let timeout = Failure::Unknown("no reply in time".to_owned());
        let by = self.global(process, by).max(self.now);
        let late = self.random.duration(Duration::from_millis(2));
        self.at(by + late, answer(Err(timeout)));
        self.processes[process].flights.insert(
            id,
            Flight {
                request,
                http,
                sent,
                fate,
                parked: None,
                gives_back,
            },
        );
    }
}

/// The name of the session that a request makes.
fn created_name(http: &HttpRequest) -> Option<String> {
    http.target.strip_prefix("/v1/session/create")?;
    let json: serde_json::Value = serde_json::from_slice(http.body.as_deref()?).ok()?;
    json["Name"].as_str().map(str::to_owned)
}

/// The key that a request writes under a lock.
fn written_key(request: &Request) -> Option<Key> {
    match request {
        Request::Write { key, .. } => Some(key.clone()),
        _ => None,
    }
}

/// The answer that Consul would have given.
fn said_written(request: &Request) -> Vec<u8> {
    let Request::Write {
        rows, session, key, ..
    } = request
    else {
        return Vec::new();
    };
    let row =
        serde_json::json!({"KV": {"Key": &*rows[0], "Session": &*session.0, "ModifyIndex": 1}});
    let written = serde_json::json!({"KV": {"Key": &**key}});
    serde_json::json!({"Results": [row, written], "Errors": null})
        .to_string()
        .into_bytes()
}

pub(super) fn text_reply(status: u16, text: &str) -> HttpReply {
    HttpReply {
        status,
        index: None,
        body: text.as_bytes().to_vec(),
        secrets: Secrets::default(),
    }
}

fn words(http: &HttpRequest) -> String {
    let body = http
        .body
        .as_deref()
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    format!("{:?} {} {body}", http.method, http.target)
}

fn body(reply: &HttpReply) -> String {
    String::from_utf8_lossy(&reply.body)
        .chars()
        .take(200)
        .collect()
}

/// The answer shows the line.
fn shows_line(request: &Request) -> bool {
    match request {
        Request::Survey { .. } | Request::ReadLine { .. } | Request::Join { .. } => true,
        Request::Lock { see, .. } => see.line,
        Request::Unlock { lines, .. } => !lines.is_empty(),
        _ => false,
    }
}
