# Says hello and its pid, then waits; ends with 0 on SIGINT.
trap('INT') { exit 0 }
$stdout.sync = true
puts "hello from ruby #{Process.pid}"
sleep
