<?php
// Says hello and its pid, then waits to be killed.
echo 'hello from php ', getmypid(), "\n";
while (true) {
    sleep(3600);
}
