"use strict";

/*
 * What the library has to say comes into this thread's event loop through a queue of the library:
 * one for each JavaScript thread, made at its first use. Its descriptor wakes the loop, and `drain` takes
 * the events. While calls are pending they keep the process alive, as a pending read of a socket does;
 * what is only listened to (a loss, the log) does not.
 */

const { AsyncResource } = require("node:async_hooks");
const net = require("node:net");
const { isMainThread } = require("node:worker_threads");
const { address, c, must, slot, takeError, text } = require("./native.cjs");

let queue = null;
let socket = null;
let pending = 0;
let lastTag = 0;
/** Who is told of an event, by the tag of its ticket. */
const receivers = new Map();

/** Runs in the asynchronous context of the import: the socket would keep that of the first caller for ever. */
const open = AsyncResource.bind(() => {
  const fd = new Int32Array(1);
  queue = c.consul_lock_queue_new(fd, slot);
  must(queue !== null);
  const onread = { buffer: Buffer.allocUnsafeSlow(64), callback: drain };
  /** @type {any} (the types do not know that onread goes with fd) */
  const options = { fd: fd[0], readable: true, writable: false, onread };
  socket = new net.Socket(options).unref();
  if (!isMainThread) {
    process.once("exit", () => {
      c.consul_lock_queue_free(queue);
      queue = null;
    });
  }
});

/**
 * Takes all events. No receiver throws, not even where it runs code of users (Node makes an uncaught
 * exception of what a listener of a signal throws, later): the library wakes us again only when it has
 * seen an empty queue.
 */
function drain() {
  let event;
  while ((event = c.consul_lock_queue_next(queue)) !== null) {
    receivers.get(c.consul_lock_event_tag(event))?.(event);
    c.consul_lock_event_free(event);
  }
  return true;
}

/** A ticket, and its tag in `lastTag`. */
function ticket() {
  if (queue === null) {
    open();
  }
  return c.consul_lock_queue_ticket(queue, ++lastTag);
}

/** Calls a function whose name ends in _start; the promise is what `read` makes of its event. */
function begin(done, read, call, args) {
  return new Promise((resolve, reject) => {
    const mine = ticket();
    const tag = lastTag;
    if (call(...args, done, mine, slot) !== 0) {
      c.consul_lock_ticket_free(mine);
      reject(takeError(slot[0]));
      return;
    }
    receivers.set(tag, (event) => {
      receivers.delete(tag);
      if (--pending === 0) {
        socket.unref();
      }
      resolve(read(event));
    });
    if (pending++ === 0) {
      socket.ref();
    }
  });
}

/**
 * Ties a lock to this thread, which may be ended at any time by worker.terminate(), without a last word:
 * the library then cancels its acquire, when it next asks Consul for it, and renews it no more.
 */
function bindToThread(lock) {
  if (queue === null) {
    open();
  }
  must(c.consul_lock_bind_to_queue(lock, queue, slot) === 0);
}

/** How a call ended: null, or its error. */
function failure(event) {
  return c.consul_lock_event_code(event) === 0
    ? null
    : takeError(c.consul_lock_event_take_error(event));
}

/**
 * Begins a call. The promise is rejected if it was refused before anything began; otherwise it is
 * fulfilled with how the call ended: null, or its error.
 */
function start(call, ...args) {
  return begin(address.consul_lock_queue_done, failure, call, args);
}

/** Begins the question for a holder, whose pointer `read` is given: null for nobody. */
function startHolder(client, key, read) {
  const answer = (event) => {
    const error = failure(event);
    if (error !== null) {
      return { error };
    }
    const pointer = c.consul_lock_event_take_holder(event);
    return { holder: pointer === null ? null : read(pointer) };
  };
  return begin(address.consul_lock_queue_holder_done, answer, c.consul_lock_holder_start, [
    client,
    key,
  ]);
}

/** Has `receiver` told of the loss of a lock, with the number of the reason. Returns a tag to forget. */
function listenForLoss(lock, receiver) {
  const mine = ticket();
  const tag = lastTag;
  must(
    c.consul_lock_set_lost_callback(
      lock,
      address.consul_lock_queue_lost,
      mine,
      address.consul_lock_ticket_free,
      slot,
    ) === 0,
  );
  receivers.set(tag, (event) => {
    receivers.delete(tag);
    receiver(c.consul_lock_event_code(event));
  });
  return tag;
}

function forget(tag) {
  receivers.delete(tag);
}

let logTag = 0;

/**
 * Has `receiver` given each line of the log of the whole process, with the number of its level, instead
 * of whom was given them before, in whichever thread; null: nobody.
 */
function listenToLog(receiver, level) {
  receivers.delete(logTag);
  if (receiver === null) {
    c.consul_lock_set_log_callback(null, null, null, level);
    return;
  }
  const mine = ticket();
  logTag = lastTag;
  receivers.set(logTag, (event) => {
    receiver(c.consul_lock_event_code(event), text(c.consul_lock_event_line, event));
  });
  c.consul_lock_set_log_callback(
    address.consul_lock_queue_log,
    mine,
    address.consul_lock_ticket_free,
    level,
  );
}

module.exports = { bindToThread, forget, listenForLoss, listenToLog, start, startHolder };
