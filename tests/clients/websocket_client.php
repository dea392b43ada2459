<?php
// A WebSocket client of PHP's own streams, for the scripts beside it: their
// first argument is the PORT. run() takes cases by name.

$port = (int) $argv[1];

function dial(): mixed
{
    global $port;
    $stream = stream_socket_client("tcp://127.0.0.1:$port", $code, $why, 30);
    if (!$stream) {
        throw new Exception("no connection: $why");
    }
    stream_set_timeout($stream, 30); // far beyond what any case takes
    return $stream;
}

function read_line($stream): string
{
    $line = fgets($stream);
    if ($line === false) {
        throw new Exception('no line came');
    }
    return rtrim($line);
}

function read_bytes($stream, int $size): string
{
    $bytes = '';
    while (strlen($bytes) < $size) {
        $piece = fread($stream, $size - strlen($bytes));
        if ($piece === false || $piece === '') {
            throw new Exception('no frame came');
        }
        $bytes .= $piece;
    }
    return $bytes;
}

/** Shakes hands; returns the stream and the answer's lines. */
function shake(string $key, string $path = '/'): array
{
    $stream = dial();
    fwrite($stream, "GET $path HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        . "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        . "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: $key\r\n\r\n");
    $lines = [];
    while (($line = read_line($stream)) !== '') {
        $lines[] = $line;
    }
    return [$stream, $lines];
}

/** A client that has heard of its own arrival. */
function join_room(string $path = '/'): mixed
{
    [$stream] = shake(base64_encode(random_bytes(16)), $path);
    same('{"type":"system","message":"127.0.0.1 connected"}', hear($stream));
    return $stream;
}

/** The payload of the next frame, which has this opcode. */
function hear($stream, int $opcode = 1): string
{
    do {
        $payload = read_frame($stream, $opcode);
        // The client of an earlier case may be leaving only now.
    } while (strpos($payload, '127.0.0.1 disconnected'));
    return $payload;
}

function read_frame($stream, int $opcode): string
{
    $head = read_bytes($stream, 2);
    same(0x80 | $opcode, ord($head[0]));
    $length = ord($head[1]);
    if ($length === 126) {
        $length = unpack('n', read_bytes($stream, 2))[1];
    } elseif ($length === 127) {
        $length = unpack('J', read_bytes($stream, 8))[1];
    }
    return $length ? read_bytes($stream, $length) : '';
}

function say($stream, string $payload, int $opcode = 1): void
{
    $length = strlen($payload);
    $mask = random_bytes(4);
    $head = chr(0x80 | $opcode) . ($length < 126
        ? chr(0x80 | $length)
        : chr(0x80 | 126) . pack('n', $length));
    $pad = str_repeat($mask, intdiv($length, 4) + 1);
    fwrite($stream, $head . $mask . ($payload ^ $pad));
}

function same($wanted, $got): void
{
    if ($wanted !== $got) {
        throw new Exception('wanted ' . var_export($wanted, true)
            . ', got ' . var_export($got, true));
    }
}

/** Prints "ok" or "not ok" for each case. */
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
