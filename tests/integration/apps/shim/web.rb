# WEBrick on the port of its argument; on SIGTERM it shuts its listening socket down, as it does.
require "webrick"

server = WEBrick::HTTPServer.new(Port: ARGV[0].to_i, BindAddress: "127.0.0.1", AccessLog: [])
server.mount_proc("/") { |_request, response| response.body = Process.pid.to_s }
trap("TERM") { server.shutdown }
server.start
