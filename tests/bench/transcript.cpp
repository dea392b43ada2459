#include "transcript.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "fixtures/client_frames.h"
#include "fixtures/deflated.h"

namespace wschat::bench {

namespace {

constexpr char kFormat[] =
    R"({"type":"message","username":"%05zu","id":"%08zu","message":")";
constexpr size_t kSenderAt = 30;  // offset of its number in a text

constexpr const char* kWords[] = {
    "the ",   "to ",   "and ",      "you ",   "is ",   "in ",      "that ",
    "it ",    "what ", "tomorrow ", "we ",    "ok, ",  "for ",     "was ",
    "hello ", "have ", "not ",      "there ", "with ", "morning ", "they ",
    "do ",    "at ",   "because ",  "this ",  "but ",  "his ",     "meet ",
    "lunch ", "ship ", "test ",     "Ada "};

/// Returns a text of English words, which compresses like chat messages.
std::string text_of(size_t sender, size_t number, size_t size) {
    char head[Transcript::kMinText];
    std::snprintf(head, sizeof head, kFormat, sender, number);
    std::string text(head);
    uint64_t random = sender << 32 ^ number;
    while (text.size() < size - 2) {
        random = random * 6364136223846793005 + 1442695040888963407;
        text += kWords[random >> 59];
    }
    text.resize(size - 2);
    return text + "\"}";
}

/// A frame of the server.
struct Frame {
    bool compressed = false;
    std::string_view payload;
    size_t size = 0;  // with the header; 0: the frame is incomplete
};

Frame decode_frame(std::string_view bytes) {
    if (bytes.size() < 2) return {};
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
    if ((byte(0) & 0xBF) != 0x81 || byte(1) > 126)
        throw std::runtime_error("received a frame that is not a text message");
    const bool extended = byte(1) == 126;
    const size_t header = extended ? 4 : 2;
    if (bytes.size() < header) return {};
    const size_t length = extended ? byte(2) * 256u + byte(3) : byte(1);
    if (bytes.size() < header + length) return {};
    return {byte(0) == 0xC1, bytes.substr(header, length), header + length};
}

}  // namespace

std::string Transcript::next_message(size_t sender) {
    std::string text = text_of(sender, count_++, text_size_);
    const std::string frame = test::text_frame(text);
    sent_[sender].push_back({std::move(text), Clock::now()});
    return frame;
}

void Transcript::receive(Position& position, std::string_view bytes,
                         Delays& delays) {
    const size_t known =
        std::min(bytes.size(), bytes_.size() - position.offset);
    if (std::memcmp(bytes.data(), &bytes_[position.offset], known) != 0)
        throw std::runtime_error(
            "a client received other bytes than the others");
    position.offset += bytes.size();
    if (known < bytes.size()) {
        bytes_.append(bytes.substr(known));
        decode();
    }
    const Clock::time_point now = Clock::now();
    for (; position.messages < received_.size(); ++position.messages) {
        const Received& next = received_[position.messages];
        if (next.end > position.offset) break;
        const std::chrono::duration<float, std::micro> delay = now - next.sent;
        delays.push_back(delay.count());
    }
}

void Transcript::decode() {
    const std::string_view bytes = bytes_;
    for (;;) {
        const Frame frame = decode_frame(bytes.substr(decoded_));
        if (frame.size == 0) return;
        decoded_ += frame.size;
        check(frame.compressed ? test::inflated(frame.payload)
                               : std::string(frame.payload));
    }
}

void Transcript::check(const std::string& text) {
    const size_t sender = text.size() == text_size_
                              ? std::strtoul(&text[kSenderAt], nullptr, 10)
                              : sent_.size();
    if (sender >= sent_.size() || sent_[sender].empty() ||
        sent_[sender].front().text != text)
        throw std::runtime_error("received a message that is not the next one");
    received_.push_back({decoded_, sent_[sender].front().at});
    sent_[sender].pop_front();
}

}  // namespace wschat::bench
