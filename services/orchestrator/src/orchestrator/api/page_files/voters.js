// How a panel's voters did: a table, bars of their accuracies, and the vote against the best of them.
import { number, percent, said, t } from "./i18n.js";
import { bars, html, interval, nothing } from "./ui.js";

export function panelView({ name, voters, agreement, against_best, notes }) {
  const rated = voters.filter((voter) => voter.accuracy);
  return html`
    <div class="card panel">
      <h2>${t("panel.title", { name })}</h2>
      <div class="scroll" tabindex="0" role="region" aria-label=${t("panel.title", { name })}>${table(voters, agreement)}</div>
      ${rated.length ? bars(t("panel.accuracy"), rated.map(accuracyBar)) : nothing}
      ${rated.length ? html`<p class="muted">${t("chart.interval")}</p>` : nothing}
      ${against_best ? html`<p class="against-best">${against(against_best)}</p>` : nothing}
      ${[...voters.filter((voter) => voter.note).map(ofVoter), ...notes.map((note) => said(note.text, note))].map(
        (told) => html`<p class="muted">${told}</p>`,
      )}
    </div>`;
}

const ofVoter = ({ name, note, note_message }) => `${name}: ${said(note, note_message)}`;

// A row a voter; the last columns say how often it agreed with each of the others.
const table = (voters, agreement) => html`
  <table>
    <thead><tr>
      <th scope="col">${t("panel.voter")}</th><th scope="col">${t("panel.weight")}</th><th scope="col">${t("panel.samples")}</th>
      <th scope="col">${t("samples.invalid")}</th><th scope="col">${t("panel.validation")}</th>
      ${voters.map(({ name }) => html`<th scope="col">${t("panel.equal", { name })}</th>`)}
    </tr></thead>
    <tbody>${voters.map(
      (voter) => html`
      <tr>
        <th scope="row" title=${voter.model}>${voter.name}</th><td>${number(voter.weight, 2)}</td><td>${number(voter.samples)}</td>
        <td>${number(voter.invalid)}</td><td>${voter.validation ? percent(voter.validation.right / voter.validation.total) : "–"}</td>
        ${voters.map((other) => html`<td>${equal(agreement, voter.name, other.name)}</td>`)}
      </tr>`,
    )}</tbody>
  </table>`;

function equal(agreement, one, other) {
  const found = agreement.find(
    ({ first, second }) => [first, second].includes(one) && [first, second].includes(other) && one !== other,
  );
  return found && found.equal !== null ? percent(found.equal) : "–";
}

const accuracyBar = ({ name, accuracy }) => ({
  name,
  share: accuracy.value,
  low: accuracy.low,
  high: accuracy.high,
  text: interval(accuracy),
  tone: "good",
});

const points = (share) => number(100 * share, 1);

const against = ({ voter, voters_accuracy, votes_accuracy, difference, low, high, p_value }) =>
  t("panel.against", {
    vote: percent(votes_accuracy.value),
    voter,
    single: percent(voters_accuracy.value),
    points: points(difference),
    low: points(low),
    high: points(high),
    p: number(p_value, 3),
  });
