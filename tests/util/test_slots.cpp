#include "util/slots.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "fixtures/heap.h"

using namespace wschat;
using namespace wschat::test;

TEST_CASE("an element keeps its id and address when others are added") {
    Slots<std::string> slots;
    const auto a = slots.add("a");
    const auto b = slots.add("b");
    const auto c = slots.add("c");
    std::string* const address = &slots[c];
    slots.remove(a);
    for (int i = 0; i < 100; ++i) slots.add("x");
    slots.remove(b);
    CHECK(slots[c] == "c");
    CHECK(&slots[c] == address);
    CHECK(slots.size() == 101);
}

TEST_CASE("the id of a removed element is given to a new one") {
    Slots<std::string> slots;
    slots.add("a");
    const auto b = slots.add("b");
    slots.remove(b);
    CHECK_FALSE(slots.has(b));
    CHECK(slots.size() == 1);
    CHECK(slots.add("new") == b);
    CHECK(slots.has(b));
    CHECK(slots[b] == "new");
}

TEST_CASE("all ids are below the end") {
    Slots<int> slots;
    CHECK(slots.end() == 0);
    CHECK_FALSE(slots.has(0));
    for (int i = 0; i < 10; ++i) {
        const auto id = slots.add(i);
        CHECK(id < slots.end());
    }
    CHECK(slots.end() == 10);
    CHECK_FALSE(slots.has(10));
}

TEST_CASE("without elements, no memory is held") {
    const size_t before = heap_in_use();
    Slots<int> slots;
    std::vector<Slots<int>::Id> ids;
    for (int i = 0; i < 1000; ++i) ids.push_back(slots.add(i));
    for (const auto id : ids) slots.remove(id);
    ids = std::vector<Slots<int>::Id>();
    CHECK(slots.size() == 0);
    CHECK(heap_in_use() == before);
}
