<?php
// Sends a message to everyone in the chat, from a script on the same machine:
//
//   require 'publish.php';
//   wschat_publish(['type' => 'news', 'id' => 17]);
//   wschat_publish(['type' => 'system', 'message' => 'Back at noon'],
//                  'unix:///run/wschat/chat.sock');

declare(strict_types=1);

/**
 * @param mixed  $message what json_encode() takes
 * @param string $address tcp://127.0.0.1:9600, tcp://[::1]:9600 or unix:///PATH
 * @param float  $timeout seconds, for each step
 * @throws RuntimeException if wschat can't be reached or refuses the message
 * @throws JsonException    if the message can't be encoded
 */
function wschat_publish(
    mixed $message,
    string $address = 'tcp://127.0.0.1:9600',
    float $timeout = 2.0
): void {
    $json = json_encode($message, JSON_THROW_ON_ERROR);
    // Raw JSON is objects; other values need a WebSocket.
    if ($json[0] !== '{') {
        throw new RuntimeException('wschat takes objects, not ' . $json);
    }
    $chat = @stream_socket_client($address, $code, $error, $timeout);
    if ($chat === false) {
        throw new RuntimeException("wschat at $address: $error");
    }
    $seconds = (int) $timeout;
    stream_set_timeout($chat, $seconds, (int) (($timeout - $seconds) * 1e6));
    try {
        for ($rest = $json; $rest !== ''; $rest = substr($rest, $sent)) {
            $sent = @fwrite($chat, $rest);
            if ($sent === false || $sent === 0) {
                throw new RuntimeException("wschat at $address: cannot write");
            }
        }
        // wschat says nothing if all is well, and closes after us.
        stream_socket_shutdown($chat, STREAM_SHUT_WR);
        $answer = stream_get_contents($chat);
        if (stream_get_meta_data($chat)['timed_out']) {
            throw new RuntimeException("wschat at $address: no answer in time");
        }
        if ($answer !== '') {
            $notice = json_decode($answer, true);
            throw new RuntimeException(
                "wschat at $address: " . ($notice['message'] ?? trim($answer))
            );
        }
    } finally {
        fclose($chat);
    }
}
