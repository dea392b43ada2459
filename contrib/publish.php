<?php
// Publishes a message in a room of wschat, from any machine, with PHP 8:
//
//   require 'publish.php';
//   wschat_publish(['type' => 'news', 'id' => 17], '/', [
//       'address' => 'unix:///run/wschat/chat.sock',
//       'key' => trim(file_get_contents('/etc/wschat.key')),
//   ]);
//
// wschat needs the option --publish-key=FILE, and --rooms for any room but /.
// The environment variables WSCHAT_ADDRESS and WSCHAT_KEY are the defaults for
// the address and the key.

declare(strict_types=1);

/**
 * @param mixed  $message any value that json_encode() accepts
 * @param string $room    a name such as '/' or '/news', not percent-encoded
 * @param array{address?: string, key?: string, timeout?: float} $options
 *   address  tcp://127.0.0.1:9600, tls://chat.example.com:9600 or
 *            unix:///PATH; TLS certificates are verified
 *   key      a key from the file of --publish-key
 *   timeout  seconds for the whole request [2]
 * @return array{room: string, clients: int, number: int} the number of clients
 *   in the room, and the number of the message
 * @throws RuntimeException if wschat can't be reached or refuses the message
 * @throws JsonException    if the message can't be encoded
 */
function wschat_publish(
    mixed $message,
    string $room = '/',
    array $options = []
): array {
    $address = $options['address'] ?? getenv('WSCHAT_ADDRESS')
        ?: 'tcp://127.0.0.1:9600';
    $key = $options['key'] ?? (string) getenv('WSCHAT_KEY');
    $deadline = microtime(true) + ($options['timeout'] ?? 2.0);
    $fail = static fn (string $why): RuntimeException =>
        new RuntimeException("wschat at $address: $why");

    if (preg_match('/[\x00-\x20\x7F]/', $key)) {
        throw $fail('the key has bytes that no key has');
    }
    $json = json_encode($message, JSON_THROW_ON_ERROR);
    $path = implode('/', array_map('rawurlencode', explode('/', $room)));
    $host = parse_url($address, PHP_URL_HOST) ?: 'localhost';
    $request = "POST $path HTTP/1.1\r\nHost: $host\r\n"
        . "Authorization: Bearer $key\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . strlen($json) . "\r\n\r\n$json";

    $left = static function () use ($deadline, $fail): float {
        $seconds = $deadline - microtime(true);
        if ($seconds <= 0) {
            throw $fail('no answer in time');
        }
        return $seconds;
    };
    $stream = @stream_socket_client($address, $code, $error, $left());
    if ($stream === false) {
        throw $fail($error !== '' ? $error : 'cannot connect');
    }
    try {
        stream_set_blocking($stream, false);
        $wait = static function (bool $to_write) use ($stream, $left): void {
            $read = $to_write ? [] : [$stream];
            $write = $to_write ? [$stream] : [];
            $except = [];
            $seconds = $left();
            stream_select($read, $write, $except, (int) $seconds,
                (int) (fmod($seconds, 1) * 1e6));
        };
        for ($rest = $request; $rest !== ''; $rest = substr($rest, $sent)) {
            $wait(true);
            $sent = @fwrite($stream, $rest);
            if ($sent === false) {
                break;  // wschat may have sent a refusal already: read it
            }
        }
        for ($answer = ''; !feof($stream); $answer .= $bytes) {
            $wait(false);
            $bytes = @fread($stream, 65536);
            if ($bytes === false) {
                break;
            }
        }
    } finally {
        fclose($stream);
    }

    [$head, $body] = explode("\r\n\r\n", $answer, 2) + ['', ''];
    if (!preg_match('~^HTTP/1\.1 (\d{3})~', $head, $status)) {
        throw $fail('no answer');
    }
    if ($status[1] !== '200') {
        throw $fail("$status[1] " . trim($body));
    }
    return json_decode($body, true, 8, JSON_THROW_ON_ERROR);
}
