<?php
// A WebSocket client by PHP's own streams, for the scripts in this folder.
// Their first argument is the port of the daemon.

$port = (int) $argv[1];

/** Opens a TCP connection to the daemon. */
function connect(): mixed
{
    global $port;
    $stream = stream_socket_client("tcp://127.0.0.1:$port", $code, $reason, 30);
    if (!$stream) {
        throw new Exception("no connection: $reason");
    }
    stream_set_timeout($stream, 30); // seconds; no case takes nearly as long
    return $stream;
}

function read_line($stream): string
{
    $line = fgets($stream);
    if ($line === false) {
        throw new Exception('no line was received');
    }
    return rtrim($line);
}

function read_bytes($stream, int $size): string
{
    $bytes = '';
    while (strlen($bytes) < $size) {
        $piece = fread($stream, $size - strlen($bytes));
        if ($piece === false || $piece === '') {
            throw new Exception('no frame was received');
        }
        $bytes .= $piece;
    }
    return $bytes;
}

/** Does the handshake; returns the stream and the lines of the response. */
function handshake(string $key, string $path = '/'): array
{
    $stream = connect();
    fwrite($stream, "GET $path HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        . "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        . "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: $key\r\n\r\n");
    $lines = [];
    while (($line = read_line($stream)) !== '') {
        $lines[] = $line;
    }
    return [$stream, $lines];
}

/** Returns a client that has received the system message that it connected. */
function join_room(string $path = '/'): mixed
{
    [$stream] = handshake(base64_encode(random_bytes(16)), $path);
    assert_same('{"type":"system","message":"127.0.0.1 connected"}',
        receive($stream));
    return $stream;
}

/**
 * Returns the payload of the next frame, which must have this opcode. Skips
 * system messages that a client disconnected.
 */
function receive($stream, int $opcode = 1): string
{
    do {
        $payload = read_frame($stream, $opcode);
        // The client of an earlier case may disconnect only now.
    } while (strpos($payload, '127.0.0.1 disconnected'));
    return $payload;
}

/** Returns the payload of the next frame, which must have this opcode. */
function read_frame($stream, int $opcode): string
{
    $head = read_bytes($stream, 2);
    assert_same(0x80 | $opcode, ord($head[0]));
    $length = ord($head[1]);
    if ($length === 126) {
        $length = unpack('n', read_bytes($stream, 2))[1];
    } elseif ($length === 127) {
        $length = unpack('J', read_bytes($stream, 8))[1];
    }
    return $length ? read_bytes($stream, $length) : '';
}

/** Sends a masked frame. */
function send($stream, string $payload, int $opcode = 1): void
{
    $length = strlen($payload);
    $mask = random_bytes(4);
    $head = chr(0x80 | $opcode) . ($length < 126
        ? chr(0x80 | $length)
        : chr(0x80 | 126) . pack('n', $length));
    $pad = str_repeat($mask, intdiv($length, 4) + 1);
    fwrite($stream, $head . $mask . ($payload ^ $pad));
}

function assert_same($expected, $actual): void
{
    if ($expected !== $actual) {
        throw new Exception('expected ' . var_export($expected, true)
            . ', got ' . var_export($actual, true));
    }
}

/** Runs cases, given by name, and prints "ok" or "not ok" for each. */
function run(string $suite, array $cases): void
{
    foreach ($cases as $name => $case) {
        try {
            $case();
            echo "ok $suite: $name\n";
        } catch (Exception $error) {
            echo "not ok $suite: $name\n", $error->getMessage(), "\n";
        }
    }
}
