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
constexpr size_t kSpeakerAt = 30;  // offset of its number in a text

constexpr const char* kWords[] = {
    "the ",   "to ",   "and ",      "you ",   "is ",   "in ",      "that ",
    "it ",    "what ", "tomorrow ", "we ",    "ok, ",  "for ",     "was ",
    "hello ", "have ", "not ",      "there ", "with ", "morning ", "they ",
    "do ",    "at ",   "because ",  "this ",  "but ",  "his ",     "meet ",
    "lunch ", "ship ", "test ",     "Ada "};

/// A text as people chat: it compresses as theirs do.
std::string text_of(size_t speaker, size_t number, size_t size) {
    char head[Transcript::kMinText];
    std::snprintf(head, sizeof head, kFormat, speaker, number);
    std::string text(head);
    uint64_t random = speaker << 32 ^ number;
    while (text.size() < size - 2) {
        random = random * 6364136223846793005 + 1442695040888963407;
        text += kWords[random >> 59];
    }
    text.resize(size - 2);
    return text + "\"}";
}

/// A frame that a server sends.
struct Frame {
    bool compressed = false;
    std::string_view payload;
    size_t size = 0;  // header included; 0: it is not whole
};

Frame decode_frame(std::string_view bytes) {
    if (bytes.size() < 2) return {};
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
    if ((byte(0) & 0xBF) != 0x81 || byte(1) > 126)
        throw std::runtime_error("received a frame that is no message");
    const bool extended = byte(1) == 126;
    const size_t header = extended ? 4 : 2;
    if (bytes.size() < header) return {};
    const size_t length = extended ? byte(2) * 256u + byte(3) : byte(1);
    if (bytes.size() < header + length) return {};
    return {byte(0) == 0xC1, bytes.substr(header, length), header + length};
}

}  // namespace

std::string Transcript::say(size_t speaker) {
    std::string text = text_of(speaker, count_++, text_size_);
    const std::string frame = test::text_frame(text);
    said_[speaker].push_back({std::move(text), Clock::now()});
    return frame;
}

void Transcript::hear(Place& place, std::string_view bytes, Delays& delays) {
    const size_t known = std::min(bytes.size(), bytes_.size() - place.offset);
    if (std::memcmp(bytes.data(), &bytes_[place.offset], known) != 0)
        throw std::runtime_error("a client received what others did not");
    place.offset += bytes.size();
    if (known < bytes.size()) {
        bytes_.append(bytes.substr(known));
        decode();
    }
    const Clock::time_point now = Clock::now();
    for (; place.messages < heard_.size(); ++place.messages) {
        const Heard& next = heard_[place.messages];
        if (next.end > place.offset) break;
        const std::chrono::duration<float, std::micro> delay = now - next.said;
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
    const size_t speaker = text.size() == text_size_
                               ? std::strtoul(&text[kSpeakerAt], nullptr, 10)
                               : said_.size();
    if (speaker >= said_.size() || said_[speaker].empty() ||
        said_[speaker].front().text != text)
        throw std::runtime_error("received what was not the next message");
    heard_.push_back({decoded_, said_[speaker].front().at});
    said_[speaker].pop_front();
}

}  // namespace wschat::bench
