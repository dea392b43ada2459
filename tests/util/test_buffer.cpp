#include <string>

#include <doctest/doctest.h>

#include "util/buffer.h"
#include "fixtures/heap.h"

using namespace wschat;
using wschat::test::allocations;
using wschat::test::heap_in_use;

TEST_CASE("bytes are taken from the front, at most all of them") {
    std::string text = "abcdef";
    Bytes bytes{text.data(), text.size()};
    CHECK(bytes.take(0).view() == "");
    CHECK(bytes.take(2).view() == "ab");
    CHECK(bytes.view() == "cdef");
    CHECK(bytes.take(~uint64_t{0}).view() == "cdef");
    CHECK(bytes.size == 0);
    CHECK(bytes.take(1).size == 0);
}

TEST_CASE("an IoVec counts its bytes and skips empty pieces") {
    IoVec pieces("one");
    pieces.add("");
    pieces.add("three");
    CHECK(pieces.count == 2);
    CHECK(pieces.size == 8);
    CHECK(pieces.piece[1] == "three");
    CHECK(IoVec("").count == 0);
}

TEST_CASE("an unused buffer takes only the size of a pointer") {
    const size_t before = allocations();
    Buffer buffer;
    buffer.append("");
    const size_t after = allocations();
    CHECK(after == before);
    CHECK(sizeof buffer == sizeof(void*));
    CHECK(buffer.empty());
    CHECK(buffer.size() == 0);
    CHECK(buffer.view() == "");
    buffer.release();
    CHECK(buffer.empty());
}

TEST_CASE("a buffer holds the appended bytes until it is released") {
    const size_t before = heap_in_use();
    Buffer buffer;
    buffer.append("Hello, ");
    buffer.append("world");
    CHECK(buffer.view() == "Hello, world");
    CHECK(buffer.size() == 12);
    CHECK_FALSE(buffer.empty());
    buffer.text().resize(5000, '!');
    CHECK(buffer.size() == 5000);
    CHECK(heap_in_use() >= before + 5000);
    buffer.release();
    CHECK(heap_in_use() == before);
    CHECK(buffer.view() == "");
    buffer.append("again");
    CHECK(buffer.view() == "again");
}

TEST_CASE("a buffer whose string is cleared is empty and keeps its memory") {
    Buffer buffer;
    buffer.append(std::string(1000, 'x'));
    const size_t before = heap_in_use();
    buffer.text().clear();
    CHECK(buffer.empty());
    CHECK(heap_in_use() == before);
}

TEST_CASE("a released string frees its memory") {
    const size_t before = heap_in_use();
    std::string text(5000, 'x');
    release(text);
    CHECK(text == "");
    CHECK(heap_in_use() == before);
}
