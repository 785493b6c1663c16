# frozen_string_literal: true

# The requests of the library's cycle through a socket of Ruby, without a lock library: what Ruby alone takes for them. The
# command `cycles` of ../peers/README.md.

require "json"
require "socket"

address, key = ARGV
abort "usage: #{$PROGRAM_NAME} ADDRESS KEY" unless key
$stdout.sync = true
SOCKET = TCPSocket.new(*address.split(":"))
SOCKET.setsockopt(Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1)

define_method(:now) { Process.clock_gettime(Process::CLOCK_MONOTONIC, :nanosecond) }

define_method(:put) do |path, body|
  SOCKET.write("PUT #{path} HTTP/1.1\r\nHost: #{address}\r\nContent-Length: #{body.bytesize}\r\n\r\n#{body}")
  reply = SOCKET.readpartial(1 << 14)
  head, body = reply.split("\r\n\r\n", 2)
  length = head[/^Content-Length: (\d+)/, 1].to_i
  body << SOCKET.readpartial(1 << 14) while body.bytesize < length
  abort head unless head.start_with?("HTTP/1.1 200 ")
  body
end

session = JSON.parse(put("/v1/session/create", '{"TTL":"180s","Behavior":"delete","LockDelay":"0s","NodeChecks":[]}'))["ID"]
acquire = [{ KV: { Verb: "check-not-exists", Key: key } },
           { KV: { Verb: "lock", Key: key, Value: "eyJsb2NrZWRfYXQiOiIyMDI2LTAxLTAxVDAwOjAwOjAwLjAwMFoifQ==",
                   Flags: 1, Session: session } },
           { KV: { Verb: "get-tree", Key: "#{key}/.share/" } }].to_json
release = [{ KV: { Verb: "check-session", Key: key, Session: session } }, { KV: { Verb: "delete", Key: key } }].to_json
puts "ready"
$stdin.each_line do |line|
  times = Array.new(Integer(line.split.last)) do
    begun = now
    put("/v1/txn", acquire)
    put("/v1/txn", release)
    now - begun
  end
  puts "cycles #{times.join(" ")}"
end
put("/v1/session/destroy/#{session}", "")
