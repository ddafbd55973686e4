run ->(_env) { [200, { "content-type" => "text/plain" }, [Process.pid.to_s]] }
