# frozen_string_literal: true

require "tempfile"

module ConsulLock
  module Testing
    # No Consul was started. The message says why, and what to install.
    class StartError < StandardError; end

    # A running Consul on a free port of this machine. It ends with this process, however this process ends.
    class Consul
      # What consul-lock prints before the address, when it serves.
      READY = "CONSUL_HTTP_ADDR="
      # How long consul-lock may take to end, in seconds.
      PATIENCE = 5
      private_constant :READY, :PATIENCE

      # @return [String] the address of the HTTP API, such as "127.0.0.1:34567"
      attr_reader :address

      # Starts a Consul, and returns when it serves.
      #
      # @param speed [Integer, nil] lets the time of Consul pass so many times as fast, for tests that wait for the end
      #   of a TTL; not for a real Consul
      # @param real [Boolean, String] a real Consul (`consul agent -dev`): +true+ for the program of CONSUL_BIN, else
      #   `consul` on the PATH; or the name of the program. A real Consul takes some seconds
      # @raise [StartError] there is no program consul-lock on the PATH or by the name in CONSUL_LOCK_COMMAND, or the
      #   program did not serve
      def initialize(speed: nil, real: false)
        command = ["dev"]
        command.push("--speed", speed.to_s) if speed
        command << (real == true ? "--real" : "--real=#{real}") if real
        @owner = Process.pid
        @address = start([program, *command])
      end

      # The client of this Consul, for locks and calls that take one.
      #
      # @return [Client]
      def client
        @client ||= Client.new(address: address, ssl: false)
      end

      # Ends this Consul. A second call does nothing, and neither does a call in a forked process.
      #
      # @return [nil]
      def stop
        return unless @pid && @owner == Process.pid

        pid = @pid
        @pid = nil
        ending = Process.detach(pid)
        Process.kill(:TERM, pid)
        Process.kill(:KILL, pid) unless ending.join(PATIENCE)
        ending.join
        nil
      rescue Errno::ESRCH
        nil
      end

      private

      def program
        name = ENV.fetch("CONSUL_LOCK_COMMAND", "")
        name.empty? ? "consul-lock" : name
      end

      # Starts the program, and gives the address that it prints.
      def start(command)
        errors = Tempfile.create
        File.unlink(errors)
        output, their_output = IO.pipe
        @pid = Process.spawn(*command, in: File::NULL, out: their_output, err: errors)
        their_output.close
        address_in(output.gets.to_s, command, errors)
      rescue SystemCallError => e
        raise StartError, "could not start #{command.first}: #{e.message}; install libconsul_lock with its command " \
                          "(`make`, `make install`), or name the program in CONSUL_LOCK_COMMAND"
      ensure
        [errors, output, their_output].each { |file| file&.close }
      end

      def address_in(line, command, errors)
        return line.delete_prefix(READY).chomp if line.start_with?(READY)

        stop
        errors.rewind
        raise StartError, "#{command.join(" ")} did not serve: #{line}#{errors.read}".strip
      end
    end
  end
end
