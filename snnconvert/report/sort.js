for (const head of document.querySelectorAll("#runs thead th")) {
  const button = document.createElement("button");
  button.textContent = head.textContent;
  head.replaceChildren(button);
  button.addEventListener("click", () => {
    const column = [...head.parentNode.children].indexOf(head);
    const up = head.getAttribute("aria-sort") === "descending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.children[column].dataset.sort ?? row.children[column].textContent.trim();
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      const numbers = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
      return (x === "") - (y === "") || (up ? 1 : -1) * (numbers ? x - y : x.localeCompare(y));
    };
    const body = document.querySelector("#runs tbody");
    body.append(...[...body.children].sort(compare));
  });
}
